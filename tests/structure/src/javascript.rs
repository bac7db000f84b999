//! The imports of JavaScript modules.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::graph::{File, Graph};

pub(crate) fn graph(files: &BTreeMap<File, String>) -> Graph {
    let mut graph = Graph::default();
    for (file, text) in files {
        for specifier in text.lines().filter_map(specifier) {
            let folder = Path::new(file).parent().unwrap_or(Path::new(""));
            let target = normalize(&folder.join(specifier));
            if files.contains_key(&target) {
                graph.add(file, &target, specifier);
            }
        }
    }
    graph
}

/// The relative path in `import … from "./path.js"`, `export … from "./path.js"` or `import "./path.js"`. The last line
/// of an import that is broken over several lines has it, too. A type in a comment is not an import.
fn specifier(line: &str) -> Option<&str> {
    let line = line.trim();
    let is_import = line.starts_with("import ") || line.starts_with("export ") || line.starts_with("} from ");
    let path = line.trim_end_matches(';').strip_suffix('"')?.rsplit('"').next()?;
    (is_import && path.starts_with('.')).then_some(path)
}

fn normalize(path: &Path) -> File {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => _ = normal.pop(),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_of_several_lines_and_re_exports_are_followed() {
        let files = [
            ("a.js", "import { b } from \"./sub/b.js\";\n"),
            ("sub/b.js", "import {\n    c,\n} from \"../c.js\";\n"),
            ("c.js", "/** @import { A } from \"./a.js\" */\nexport { a } from \"./a.js\";\n"),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
        let circles = graph(&files).circles();
        assert_eq!(circles, ["a.js -> sub/b.js (`./sub/b.js`), sub/b.js -> c.js (`../c.js`), c.js -> a.js (`./a.js`)"]);
    }

    #[test]
    fn a_type_in_a_comment_is_not_an_import() {
        assert_eq!(specifier("/** @import { A } from \"./a.js\" */"), None);
        assert_eq!(specifier("import \"./a.js\";"), Some("./a.js"));
    }
}
