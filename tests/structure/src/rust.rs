//! The modules of a crate, and the paths that each of them uses.

use std::collections::BTreeMap;

use syn::visit::{self, Visit};

use crate::resolve::{Crate, Module};
use crate::{File, Graph};

pub(crate) fn graph(files: &BTreeMap<File, String>, root: &str) -> Graph {
    let mut all = Crate::default();
    let root_folder = root.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    add_file(files, &mut all, root, &root_folder, Vec::new());
    all.graph()
}

/// Parses one file and, behind its `mod name;` lines, its children. `folder` is where these lie.
fn add_file(files: &BTreeMap<File, String>, all: &mut Crate, file: &str, folder: &str, module: Vec<String>) {
    let Some(text) = files.get(file) else { return };
    let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
    add_items(files, all, file, folder, module, &parsed.items);
}

fn add_items(
    files: &BTreeMap<File, String>,
    all: &mut Crate,
    file: &str,
    folder: &str,
    module: Vec<String>,
    items: &[syn::Item],
) {
    let mut collector = Collector::default();
    for item in items.iter().filter(|item| !is_test(attributes(item))) {
        match item {
            syn::Item::Mod(child) => {
                let mut path = module.clone();
                path.push(child.ident.to_string());
                let folder = format!("{folder}{}/", child.ident);
                if let Some((_, items)) = &child.content {
                    add_items(files, all, file, &folder, path, items);
                } else if let Some(at) = path_attribute(&child.attrs) {
                    let parent = file.rsplit_once('/').map_or(String::new(), |(parent, _)| format!("{parent}/"));
                    add_file(files, all, &format!("{parent}{at}"), &folder, path);
                } else {
                    let flat = format!("{}.rs", folder.trim_end_matches('/'));
                    let file = if files.contains_key(&flat) { flat } else { format!("{folder}mod.rs") };
                    add_file(files, all, &file, &folder, path);
                }
            }
            item => collector.visit_item(item),
        }
    }
    all.add(module, Module { file: file.into(), paths: collector.paths, names: collector.names });
}

/// Collects the paths that begin in the own crate, and what each `use` line binds.
#[derive(Default)]
struct Collector {
    paths: Vec<Vec<String>>,
    names: BTreeMap<String, Vec<String>>,
}

impl Collector {
    fn add_use(&mut self, tree: &syn::UseTree, mut prefix: Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.add_use(&path.tree, prefix);
            }
            syn::UseTree::Name(name) if name.ident == "self" => self.bind(prefix.last().cloned(), prefix),
            syn::UseTree::Name(name) => {
                prefix.push(name.ident.to_string());
                self.bind(Some(name.ident.to_string()), prefix);
            }
            syn::UseTree::Rename(rename) => {
                if rename.ident != "self" {
                    prefix.push(rename.ident.to_string());
                }
                self.bind(Some(rename.rename.to_string()), prefix);
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_use(tree, prefix.clone())),
            // What a glob brings in is not followed; the module itself is an import.
            syn::UseTree::Glob(_) => self.bind(None, prefix),
        }
    }

    fn bind(&mut self, name: Option<String>, path: Vec<String>) {
        if let Some(name) = name {
            self.names.insert(name, path.clone());
        }
        self.paths.push(path);
    }
}

impl<'a> Visit<'a> for Collector {
    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        self.add_use(&item.tree, Vec::new());
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 && ["crate", "self", "super"].contains(&segments[0].as_str()) {
            self.paths.push(segments);
        }
        visit::visit_path(self, path);
    }

    /// A macro that a crate exports is called by a path in the crate's root, wherever it is defined.
    fn visit_macro(&mut self, _: &'a syn::Macro) {}

    /// A visibility such as `pub(in crate::a)` uses nothing.
    fn visit_visibility(&mut self, _: &'a syn::Visibility) {}

    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether it says `#[cfg(test)]`, or that among others: `#[cfg(all(test, …))]`.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return false };
        let tokens = list.tokens.to_string();
        list.path.is_ident("cfg")
            && (tokens == "test" || tokens.starts_with("all (test") || tokens.starts_with("all(test"))
    })
}

fn path_attribute(attributes: &[syn::Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| {
        let syn::Meta::NameValue(pair) = &attribute.meta else { return None };
        let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &pair.value else { return None };
        pair.path.is_ident("path").then(|| text.value())
    })
}
