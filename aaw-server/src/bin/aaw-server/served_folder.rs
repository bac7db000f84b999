//! Keeps secrets out of the folder whose files are served.

use std::path::Path;

/// Checks that something which exists does not lie in the folder whose files are served. `what` is secret about it, and `flag`
/// is what sets its place.
pub(crate) fn check_not_served(path: &Path, static_dir: Option<&Path>, what: &str, flag: &str) -> Result<(), String> {
    let Some(static_dir) = static_dir else { return Ok(()) };
    match (path.canonicalize(), static_dir.canonicalize()) {
        (Ok(found), Ok(served)) if found.starts_with(&served) => Err(format!(
            "{} contains {what} and lies in {}, whose files are public: choose another place with {flag}",
            path.display(),
            static_dir.display()
        )),
        // Errors of the folder are reported when it is opened.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_the_static_folder_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let (pages, inside, beside) =
            (folder.path().join("pages"), folder.path().join("pages/deep/a.sqlite"), folder.path().join("a.sqlite"));
        std::fs::create_dir_all(pages.join("deep")).unwrap();
        for file in [&inside, &beside] {
            std::fs::write(file, "").unwrap();
        }
        let check = |path: &Path, served: Option<&Path>| check_not_served(path, served, "a secret", "--flag");
        let error = check(&inside, Some(&pages)).unwrap_err();
        assert!(error.contains("contains a secret") && error.contains("another place with --flag"), "{error}");
        assert!(check(&pages.join("deep/../../pages/deep/a.sqlite"), Some(&pages)).is_err());
        assert_eq!((check(&beside, Some(&pages)), check(&inside, None)), (Ok(()), Ok(())));
    }
}
