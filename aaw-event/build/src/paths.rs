//! Rewrites a type of `_services.rs` so that its paths are valid everywhere in the crate.

use std::collections::BTreeMap;

use quote::quote;
use syn::{GenericArgument, Ident, Item, Path, PathArguments, Type, TypeParamBound, UseTree, Visibility};

/// The module of the file.
const OWN_MODULE: &str = "crate::_services";

/// Names that are valid without `use`.
const PRELUDE: [&str; 23] = [
    "Option", "Vec", "String", "Box", "Result", "bool", "char", "str", "u8", "u16", "u32", "u64", "u128", "usize",
    "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64", "Send",
];

/// The names of one file.
pub(crate) struct FileScope {
    /// The path of each imported name.
    imported: BTreeMap<String, Vec<String>>,
    /// Whether each item of the file is public, by its name.
    items: BTreeMap<String, bool>,
}

impl FileScope {
    pub(crate) fn of(file: &syn::File) -> Self {
        let mut scope = Self { imported: BTreeMap::new(), items: BTreeMap::new() };
        for item in &file.items {
            let (ident, visibility): (&Ident, &Visibility) = match item {
                Item::Use(item) => {
                    scope.import(&item.tree, &mut Vec::new());
                    continue;
                }
                Item::Struct(item) => (&item.ident, &item.vis),
                Item::Enum(item) => (&item.ident, &item.vis),
                Item::Union(item) => (&item.ident, &item.vis),
                Item::Type(item) => (&item.ident, &item.vis),
                Item::Trait(item) => (&item.ident, &item.vis),
                Item::Mod(item) => (&item.ident, &item.vis),
                _ => continue,
            };
            scope.items.insert(ident.to_string(), !matches!(visibility, Visibility::Inherited));
        }
        scope
    }

    fn import(&mut self, tree: &UseTree, path: &mut Vec<String>) {
        match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                self.import(&tree.tree, path);
                path.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, path)),
            UseTree::Name(tree) if tree.ident == "self" => {
                if let Some(last) = path.last() {
                    self.imported.insert(last.clone(), path.clone());
                }
            }
            UseTree::Name(tree) => {
                let name = tree.ident.to_string();
                self.imported.insert(name.clone(), path.iter().cloned().chain([name]).collect());
            }
            UseTree::Rename(tree) => {
                let whole = path.iter().cloned().chain([tree.ident.to_string()]).filter(|part| part != "self");
                self.imported.insert(tree.rename.to_string(), whole.collect());
            }
            _ => {}
        }
    }

    /// The text of `ty` with global paths. The error is a message for the author.
    pub(crate) fn globalize(&self, ty: &Type) -> Result<String, String> {
        let mut ty = ty.clone();
        self.rewrite(&mut ty)?;
        // Tokens are printed with spaces between them; remove those that a person would not write.
        let mut text = quote!(#ty).to_string();
        for (spaced, tight) in [(" ::", "::"), (":: ", "::"), (" <", "<"), ("< ", "<"), (" >", ">"), (" ,", ",")] {
            text = text.replace(spaced, tight);
        }
        Ok(text)
    }

    fn rewrite(&self, ty: &mut Type) -> Result<(), String> {
        match ty {
            Type::Path(ty) if ty.qself.is_none() => self.rewrite_path(&mut ty.path),
            Type::Tuple(ty) => ty.elems.iter_mut().try_for_each(|ty| self.rewrite(ty)),
            Type::Array(ty) => self.rewrite(&mut ty.elem),
            Type::Slice(ty) => self.rewrite(&mut ty.elem),
            Type::Reference(ty) => self.rewrite(&mut ty.elem),
            Type::Paren(ty) => self.rewrite(&mut ty.elem),
            Type::TraitObject(ty) => ty.bounds.iter_mut().try_for_each(|bound| match bound {
                TypeParamBound::Trait(bound) => self.rewrite_path(&mut bound.path),
                _ => Ok(()),
            }),
            other => Err(format!(
                "`services` builds `{}`, which the table of events cannot name: expected a named type, such as \
                 `pub type App = …;`",
                quote!(#other)
            )),
        }
    }

    fn rewrite_path(&self, path: &mut Path) -> Result<(), String> {
        for segment in &mut path.segments {
            if let PathArguments::AngleBracketed(arguments) = &mut segment.arguments {
                for argument in &mut arguments.args {
                    if let GenericArgument::Type(ty) = argument {
                        self.rewrite(ty)?;
                    }
                }
            }
        }
        let Some(first) = path.segments.first().filter(|_| path.leading_colon.is_none()) else { return Ok(()) };
        let first = first.ident.to_string();
        let is_single = path.segments.len() == 1;
        let global = if let Some(import) = self.imported.get(&first) {
            self.absolute(import)
        } else if let Some(is_public) = self.items.get(&first) {
            if !is_public {
                return Err(format!(
                    "`{first}` is not public: write `pub` before it, so that the table of events can name it"
                ));
            }
            format!("{OWN_MODULE}::{first}")
        } else if is_single && (PRELUDE.contains(&first.as_str()) || first == "Sync") {
            return Ok(());
        } else if is_single {
            // Possibly imported by a glob, and nameable here if that is a `pub use`.
            format!("{OWN_MODULE}::{first}")
        } else {
            self.absolute(&[first])
        };
        let global: Path = syn::parse_str(&global).map_err(|error| format!("`{global}` is not a path: {error}"))?;
        let arguments = path.segments.first().map(|first| first.arguments.clone()).unwrap_or_default();
        let rest = path.segments.iter().skip(1).cloned().collect::<Vec<_>>();
        *path = global;
        if let Some(last) = path.segments.last_mut() {
            last.arguments = arguments;
        }
        path.segments.extend(rest);
        Ok(())
    }

    fn absolute(&self, path: &[String]) -> String {
        match path.first().map(String::as_str) {
            Some("crate") => path.join("::"),
            Some("self") => [&[OWN_MODULE.to_owned()], &path[1..]].concat().join("::"),
            Some("super") => [&["crate".to_owned()], &path[1..]].concat().join("::"),
            Some(first) if self.items.contains_key(first) => format!("{OWN_MODULE}::{}", path.join("::")),
            _ => format!("::{}", path.join("::")),
        }
    }
}
