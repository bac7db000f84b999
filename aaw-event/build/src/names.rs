//! The names of the modules of one folder.

use std::collections::BTreeSet;

/// Assigns each file and folder a module name that is unique in its folder.
#[derive(Default)]
pub(crate) struct ModuleNames {
    reserved: BTreeSet<String>,
    taken: BTreeSet<String>,
}

impl ModuleNames {
    /// Reserves `name` for the file with that very name, if it is a valid identifier.
    pub(crate) fn reserve(&mut self, name: &str) {
        if to_ident(name) == name {
            self.reserved.insert(name.to_owned());
        }
    }

    /// The module name for the file or folder `name`; with a number behind it if the name is taken.
    pub(crate) fn take(&mut self, name: &str) -> String {
        let wanted = to_ident(name);
        let is_free =
            |this: &Self, ident: &str| !this.taken.contains(ident) && (ident == name || !this.reserved.contains(ident));
        let mut found = wanted.clone();
        let mut number = 2;
        while !is_free(self, &found) {
            found = format!("{}_{number}", wanted.trim_start_matches("r#"));
            number += 1;
        }
        self.taken.insert(found.clone());
        found
    }
}

/// The nearest valid identifier.
fn to_ident(name: &str) -> String {
    let mut ident: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    if ident.starts_with(|c: char| c.is_numeric()) {
        ident.insert(0, '_');
    }
    match ident.as_str() {
        // These cannot be raw identifiers.
        "self" | "Self" | "super" | "crate" | "_" => format!("{ident}_"),
        "abstract" | "as" | "async" | "await" | "become" | "box" | "break" | "const" | "continue" | "do" | "dyn"
        | "else" | "enum" | "extern" | "false" | "final" | "fn" | "for" | "gen" | "if" | "impl" | "in" | "let"
        | "loop" | "macro" | "match" | "mod" | "move" | "mut" | "override" | "priv" | "pub" | "ref" | "return"
        | "static" | "struct" | "trait" | "true" | "try" | "type" | "typeof" | "unsafe" | "unsized" | "use"
        | "virtual" | "where" | "while" | "yield" => format!("r#{ident}"),
        _ => ident,
    }
}
