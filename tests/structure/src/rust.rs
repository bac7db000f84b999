//! The modules of a crate, and the paths that each of them uses.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::graph::{File, Graph};
use crate::resolve::{Crate, Module};

/// Returns the graph, and the files that no `mod` line reaches.
pub(crate) fn graph(files: &BTreeMap<File, String>, root: &str) -> (Graph, BTreeSet<File>) {
    let mut all = Crate::default();
    add_file(files, &mut all, root, "", Vec::new());
    // The macro of an events package declares a module for each file: `users/get.rs` is `crate::users::get`.
    if files.get(root).is_some_and(|text| text.contains("events!")) {
        for file in files.keys().filter(|file| !["lib.rs", "main.rs"].contains(&file.as_str())) {
            if !all.read_files().contains(file) {
                let module: Vec<_> = file.trim_end_matches(".rs").split('/').map(Into::into).collect();
                add_file(files, &mut all, file, &format!("{}/", module.join("/")), module);
            }
        }
    }
    let unreached = files.keys().filter(|file| !all.read_files().contains(*file)).cloned().collect();
    (all.graph(), unreached)
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

/// Collects the paths that are used, and what each `use` line binds.
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

    /// Collects what looks like a path that begins with `crate` or `super`.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => colons += 1,
                TokenTree::Ident(ident) if colons == 2 => {
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Ident(ident) if ident == "crate" || ident == "super" => {
                    self.add_path(std::mem::replace(&mut path, vec![ident.to_string()]));
                    colons = 0;
                }
                other => {
                    self.add_path(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.add_tokens(group.stream());
                    }
                }
            }
        }
        self.add_path(path);
    }

    fn add_path(&mut self, path: Vec<String>) {
        if path.len() > 1 {
            self.paths.push(path);
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
        if segments.len() > 1 {
            self.paths.push(segments);
        }
        visit::visit_path(self, path);
    }

    /// Collects the paths among the arguments, or the definition, of a macro. The macro's own path does not count: an
    /// exported macro is called by a path in the crate's root, wherever it is defined.
    fn visit_macro(&mut self, item: &'a syn::Macro) {
        self.add_tokens(item.tokens.clone());
    }

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
