//! `handoff plan`: everything that a boot would decide, without booting.

use std::path::Path;

use shared_abi::verdict::Ending;

use super::foresee::plan_staged;
use super::output;
use crate::cli::Plan;
use crate::failure::{Outcome, read};
use crate::foreign;
use crate::inspect::snapshot::Snapshot;
use crate::plan;
use crate::qemu::version;
use crate::style::Style;
use crate::verb::inspect::show;
use crate::verb::ready::{Staged, Wish};
use crate::workspace::Workspace;

const RANDOM: &str = "What a boot places at random is shown at the lowest place: --seed, --slide and --direct-map \
                      choose another.";

pub fn plan(workspace: &Workspace, flags: &Plan) -> Outcome<u8> {
    let planned = plan_as_asked(workspace, flags);
    let refusal = match &planned {
        Err(failure) => failure.code().map(|code| (code, failure)),
        Ok(_) => None,
    };
    let Some((code, failure)) = refusal else {
        let status = show(&planned?, &flags.show)?;
        if !flags.show.json
            && flags.wanted.what.seed.is_none()
            && (flags.slide.is_none() || flags.direct_map.is_none())
        {
            output::print(&format!("\n{}\n", Style::stdout().dim(RANDOM)))?;
        }
        return Ok(status);
    };
    // What the boot would refuse is what was asked for, and an answer.
    if flags.show.json {
        let refusal = serde_json::json!({ "code": format!("E{code:04}"), "words": failure.words(), "help": failure.help() });
        output::print(&format!("{:#}\n", serde_json::json!({ "refusal": refusal })))?;
    } else {
        output::complain(failure);
    }
    Ok(Ending::Refused.run_status())
}

fn plan_as_asked(workspace: &Workspace, flags: &Plan) -> Outcome<Snapshot> {
    let given = flags.tree.as_deref().map(given_tree).transpose()?;
    let tree_stays = given.is_some();
    let wish = Wish { tree_stays, ..Wish::new(&flags.wanted) };
    let program = version::program(wish.recipe(workspace)?.machine.since);
    let staged = Staged::new(workspace, &program, &wish)?;
    plan_staged(&program, &staged, flags, given)
}

/// A tree from a file, which is named if it is none.
fn given_tree(path: &Path) -> Outcome<Vec<u8>> {
    let tree = read(path)?;
    plan::ram_base(&tree).map_err(|failure| foreign::no_tree(failure, &tree).within(path.display()))?;
    Ok(tree)
}
