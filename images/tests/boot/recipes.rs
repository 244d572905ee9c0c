//! Every recipe that is shipped boots, and ends as it says.

use images::cli::What;
use images::workspace::Workspace;

use crate::Behaviour;
use crate::handoff::{Scratch, handoff};

/// Exit statuses other than success: without a word on the command line these do not know what to do.
const STATUSES: [(&str, i32); 3] = [("fault", 1), ("mistakes", 1), ("verdict", 1)];

pub fn all() -> Vec<Behaviour> {
    let mut list: Vec<_> = recipes()
        .into_iter()
        .map(|name| {
            Behaviour::new(format!("the_recipe_{name}_boots"), move || {
                let status =
                    STATUSES.iter().find(|(other, _)| *other == name).map_or(0, |(_, status)| *status);
                handoff(&["run", &name])?.expect_status(status).map(drop)
            })
        })
        .collect();
    list.push(Behaviour::new("every_example_has_its_recipe", || {
        let examples = Workspace::here().recipe_names();
        let recipes = recipes();
        match examples.iter().find(|name| !recipes.contains(name)) {
            Some(name) => Err(format!("images/{name}.toml is missing").into()),
            None => Ok(()),
        }
    }));
    list.push(Behaviour::new("a_recipe_of_its_own_is_booted_with_all_that_it_names", || {
        let module = Scratch::new("recipe.module", b"the module's bytes")?;
        let text = format!(
            "[kernel]\nexample = \"hello\"\n[modules]\n\"words\" = {:?}\n\
             [boot]\ncommand-line = \"packed words\"\nseed = \"1234\"\ndigest = \"none\"\nlog = \"verbose\"\n\
             [machine]\nname = \"virt-el2\"\ncpu = \"cortex-a72\"\nmemory = \"512M\"\ncpus = 2\ninitrd = {:?}\ntimeout = 50\n",
            module.path(),
            module.path()
        );
        let recipe = Scratch::new("recipe.toml", text.as_bytes())?;
        let ended = handoff(&["run", recipe.path()])?.expect_status(0)?;
        ended.expect_said("packed words")?.expect_said("2 CPU(s)")?.expect_said("initrd of 18 bytes").map(drop)
    }));
    list
}

/// Names of the recipes in the repository.
fn recipes() -> Vec<String> {
    let workspace = Workspace::here();
    let names = workspace.recipe_names().into_iter();
    let is_right = |name: &String| {
        let what = What { recipe: Some(name.clone()), ..What::default() };
        what.resolve(&workspace).is_ok() && workspace.recipe(name).is_file()
    };
    names.filter(is_right).collect()
}
