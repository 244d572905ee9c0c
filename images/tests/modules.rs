//! No two modules of a package import each other, directly or in a circle: whoever reads one need not have read both.
//!
//! A module that only passes names on (`pub use`) is not part of a circle: an import through it counts as one of the
//! module that declares the name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use quote::ToTokens as _;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree, Visibility};

/// A path, from the package's root.
type Names = Vec<String>;

/// A package's sources, and its name in paths.
const PACKAGES: [(&str, &str); 5] = [
    ("shared-abi/src", "shared_abi"),
    ("shared-abi/bare/src", "handoff_bare"),
    ("elfloader/src", "elfloader"),
    ("kernel/src", "kernel"),
    ("images/src", "images"),
];

#[test]
fn no_two_modules_import_each_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (folder, name) in PACKAGES {
        let mut modules = Modules::new(name);
        modules.read_folder(&root.join(folder), &[]);
        assert!(modules.files.len() > 10, "{folder} was not read");
        assert_eq!(modules.circles(), Vec::<Vec<String>>::new(), "{folder}");
    }
}

#[test]
fn a_circle_is_found_by_every_way_to_write_it() {
    let circles = |files: &[(&str, &str)]| {
        let mut modules = Modules::new("this");
        for (path, text) in files {
            let path = path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
            modules.add(path, text);
        }
        modules.circles()
    };
    let both = |first: &str, second: &str| {
        circles(&[("", "mod a; mod b; pub use b::B;"), ("a", first), ("b", second)])
    };
    let circle = vec![vec!["a".to_owned(), "b".to_owned()]];
    assert_eq!(both("use crate::b::B; pub struct A;", "use super::a::A; pub struct B;"), circle);
    assert_eq!(both("fn f() { this::b::g() }", "fn g() -> crate::a::A { todo!() }"), circle);
    // Through what another passes on.
    assert_eq!(both("use crate::B; pub struct A;", "use crate::a::{self, A}; pub struct B;"), circle);
    assert_eq!(both("use crate::b::B; pub struct A;", "pub struct B;"), Vec::<Vec<String>>::new());
    // What only tests use, and what is passed on.
    assert_eq!(
        both("#[cfg(test)] mod t { use crate::b::B; }", "use crate::a::A;"),
        Vec::<Vec<String>>::new()
    );
    let parent = [
        ("", "mod p;"),
        ("p", "mod c; pub use c::C; pub struct P;"),
        ("p::c", "use super::P; pub struct C;"),
    ];
    assert_eq!(circles(&parent), Vec::<Vec<String>>::new());
    let parent =
        [("", "mod p;"), ("p", "mod c; use c::C; pub struct P(C);"), ("p::c", "use super::P; pub struct C;")];
    assert_eq!(circles(&parent), [["p", "p::c"]]);
}

/// What one file says.
#[derive(Default)]
struct File {
    /// Every path that it names, from the package's root.
    named: Vec<Names>,
    /// Names that it has from elsewhere, with their paths.
    imported: BTreeMap<String, Names>,
    /// Names that occur outside of imports.
    used: BTreeSet<String>,
}

/// The modules of a package, by path.
struct Modules {
    package: &'static str,
    files: BTreeMap<Names, File>,
}

impl Modules {
    fn new(package: &'static str) -> Self {
        Self { package, files: BTreeMap::new() }
    }

    fn read_folder(&mut self, folder: &Path, above: &[String]) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let below = || above.iter().cloned().chain([name.to_owned()]).collect::<Names>();
            if path.is_dir() {
                if name != "tests" && name != "bin" {
                    self.read_folder(&path, &below());
                }
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !name.ends_with("tests")
                && name != "main"
            {
                let module = if matches!(name, "mod" | "lib") { above.to_vec() } else { below() };
                self.add(module, &std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    fn add(&mut self, module: Names, text: &str) {
        let parsed = syn::parse_file(text).unwrap();
        let declared = parsed.items.iter().filter_map(|item| match item {
            Item::Mod(module) if module.content.is_none() => Some(module.ident.to_string()),
            _ => None,
        });
        let children = declared.collect();
        let file = File::default();
        let mut reader = Reader { package: self.package, module: module.clone(), children, depth: 0, file };
        reader.visit_file(&parsed);
        self.files.insert(module, reader.file);
    }

    /// The module that declares what a path names.
    fn declares(&self, path: &[String], through: usize) -> Option<&Names> {
        let length = (0..=path.len()).rev().find(|length| self.files.contains_key(&path[..*length]))?;
        let (module, file) = self.files.get_key_value(&path[..length])?;
        match path.get(length).and_then(|name| file.imported.get(name)) {
            Some(elsewhere) if through < 8 => {
                let path: Names = elsewhere.iter().chain(&path[length + 1..]).cloned().collect();
                self.declares(&path, through + 1)
            }
            _ => Some(module),
        }
    }

    /// The modules that import each other, each circle in order.
    fn circles(&self) -> Vec<Vec<String>> {
        let mut reached: BTreeMap<&Names, BTreeSet<&Names>> = BTreeMap::new();
        for (module, file) in &self.files {
            let imported =
                file.imported.iter().filter(|(name, _)| file.used.contains(*name)).map(|(_, path)| path);
            let named = file.named.iter().chain(imported).filter_map(|path| self.declares(path, 0));
            reached.insert(module, named.filter(|other| *other != module).collect());
        }
        loop {
            let further: Vec<_> = reached
                .iter()
                .map(|(module, others)| {
                    (*module, others.iter().flat_map(|other| &reached[other]).copied().collect())
                })
                .collect::<Vec<(_, BTreeSet<_>)>>();
            let before: usize = reached.values().map(BTreeSet::len).sum();
            further.into_iter().for_each(|(module, others)| reached.get_mut(module).unwrap().extend(others));
            if before == reached.values().map(BTreeSet::len).sum() {
                break;
            }
        }
        let circle = |module: &&Names| -> Vec<String> {
            let others = reached[*module].iter().filter(|other| reached[**other].contains(*module));
            others.map(|other| other.join("::")).collect()
        };
        let circles: BTreeSet<_> = reached.keys().map(circle).filter(|circle| !circle.is_empty()).collect();
        circles.into_iter().collect()
    }
}

/// Reads a file's paths.
struct Reader {
    package: &'static str,
    module: Names,
    /// Modules that it declares.
    children: BTreeSet<String>,
    /// Modules within the file, at the place that is read.
    depth: usize,
    file: File,
}

impl Reader {
    /// A path from the package's root; `None` if it leads elsewhere.
    fn resolve(&self, path: &[String]) -> Option<Names> {
        let (first, rest) = path.split_first()?;
        let mut base = match first.as_str() {
            "crate" => Names::new(),
            package if package == self.package => Names::new(),
            "self" => self.module.clone(),
            // Out of a module within the file is into the file.
            "super" if self.depth > 0 => return None,
            "super" => self.module.split_last()?.1.to_vec(),
            child if self.children.contains(child) => {
                return Some(self.module.iter().chain(path).cloned().collect());
            }
            _ => return None,
        };
        let ups = rest.iter().take_while(|name| *name == "super").count();
        base.truncate(base.len().checked_sub(ups)?);
        base.extend_from_slice(&rest[ups..]);
        Some(base)
    }

    fn import(&mut self, tree: &UseTree, path: &mut Names, passes_on: bool) {
        match tree {
            UseTree::Path(step) => {
                path.push(step.ident.to_string());
                self.import(&step.tree, path, passes_on);
                path.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|item| self.import(item, path, passes_on)),
            UseTree::Glob(_) => self.file.named.extend(self.resolve(path)),
            UseTree::Name(_) | UseTree::Rename(_) => {
                let (from, to) = match tree {
                    UseTree::Rename(name) => (name.ident.to_string(), name.rename.to_string()),
                    UseTree::Name(name) => (name.ident.to_string(), name.ident.to_string()),
                    _ => return,
                };
                let itself = from == "self";
                if !itself {
                    path.push(from);
                }
                let whole = self.resolve(path);
                let to = if itself { path.last().cloned().unwrap_or_default() } else { to };
                if !itself {
                    path.pop();
                }
                if let Some(whole) = whole {
                    if !passes_on {
                        self.file.named.push(whole.clone());
                    }
                    self.file.imported.insert(to, whole);
                }
            }
        }
    }
}

/// Whether it is compiled for tests alone.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        let condition = attribute.meta.to_token_stream().to_string();
        condition.contains("test") || condition.contains("loom")
    })
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if module.content.is_some() {
            self.depth += 1;
            visit::visit_item_mod(self, module);
            self.depth -= 1;
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if self.depth == 0 || !matches!(&item.tree, UseTree::Path(path) if path.ident == "super") {
            self.import(&item.tree, &mut Names::new(), !matches!(item.vis, Visibility::Inherited));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.file.used.extend(names.first().cloned());
        if names.len() > 1 {
            self.file.named.extend(self.resolve(&names));
        }
        visit::visit_path(self, path);
    }
}
