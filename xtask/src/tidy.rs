//! The rules that compilers and linters do not know: which crate may use which, how a file begins and how
//! long it may be, that links lead somewhere, that no path of a developer's machine is left, and that the
//! handbook and its test collection agree.

mod layers;
mod links;
mod machine_paths;
mod sources;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::finding::Finding;
use crate::handbook;

/// Every breach of a rule in the workspace at `root`.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let files = files(root)?;
    let mut findings = layers::check(root, &files)?;
    findings.extend(sources::check(root, &files)?);
    findings.extend(links::check(root, &files)?);
    findings.extend(machine_paths::check(root, &files)?);
    findings.extend(handbook::check(root)?);
    Ok(findings)
}

/// The files that are in git or will be, relative to `root`, without those deleted since.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"])
        .current_dir(root)
        .output()
        .context("`git` cannot be run; it lists the files to check: install it")?;
    ensure!(
        listing.status.success(),
        "`git ls-files` failed in {}: {}",
        root.display(),
        String::from_utf8_lossy(&listing.stderr).trim()
    );
    let names = String::from_utf8(listing.stdout).context("a file's name is not UTF-8: rename it")?;
    let paths = names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    Ok(paths.filter(|path| root.join(path).is_file()).collect())
}

/// A file's text; `None` where it is no text.
fn read_text(root: &Path, file: &Path) -> Result<Option<String>> {
    let path = root.join(file);
    let bytes = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(if bytes.contains(&0) { None } else { String::from_utf8(bytes).ok() })
}

#[cfg(test)]
mod fixture {
    //! A workspace of a few files in a temporary folder.

    use super::*;

    pub(crate) fn workspace(files: &[(&str, &str)]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        (dir, files.iter().map(|(name, _)| PathBuf::from(name)).collect())
    }

    pub(crate) fn lines(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(Finding::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::{lines, workspace};
    use super::*;

    fn git(root: &Path, arguments: &[&str]) {
        assert!(Command::new("git").args(arguments).current_dir(root).output().unwrap().status.success());
    }

    #[test]
    fn every_rule_is_asked() {
        let (dir, _) = workspace(&[
            ("Cargo.toml", "[workspace]\n"),
            (".gitignore", "ignored.rs\n"),
            ("ignored.rs", "fn main() {}\n"),
            ("crates/odd/Cargo.toml", "[package]\nname = \"burnish-odd\"\n"),
            ("crates/odd/src/lib.rs", "fn one() {}\n"),
            ("README.md", "[gone](gone.md)\n"),
            ("notes.txt", &["see ", "/home/", "somebody"].concat()),
        ]);
        git(dir.path(), &["init", "--quiet"]);
        git(dir.path(), &["add", "README.md"]);
        let findings = lines(&check(dir.path()).unwrap()).join("\n");
        for part in ["burnish-odd", "lib.rs:1", "README.md:1", "notes.txt:1", "handbook/articles"] {
            assert!(findings.contains(part), "nothing on {part} in\n{findings}");
        }
        assert!(!findings.contains("ignored.rs"), "{findings}");
    }

    #[test]
    fn without_git_the_check_fails_instead_of_passing() {
        let (dir, _) = workspace(&[("README.md", "# Nothing\n")]);
        let error = check(dir.path()).unwrap_err().to_string();
        assert!(error.contains("git ls-files"), "{error}");
    }
}
