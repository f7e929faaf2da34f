//! The proto contracts: buf's lint, and the comparison with what others rely on already.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::install;

/// A commit message with a line that begins like this breaks a contract on purpose, and says why.
const ON_PURPOSE: &str = "Breaks-contract: ";

/// What the contracts are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The commit.
    pub commit: String,
    /// Which one that is, in words.
    pub why: String,
}

/// A checkout of the project.
pub struct Checkout {
    root: PathBuf,
}

impl Checkout {
    /// The one at `root`; `None` where git doesn't know the folder.
    pub fn at(root: &Path) -> Option<Self> {
        let checkout = Self { root: root.to_owned() };
        checkout.commit("HEAD").map(|_| checkout)
    }

    /// What others may rely on already: what `main` had before. `None` where there was nothing.
    ///
    /// On a branch (or with commits that aren't pushed) that is where it left `main`; on `main` itself the last
    /// commit, as long as the work tree has other contracts, and else the commit before they changed last. A
    /// commit since then that breaks a contract on purpose is where it begins anew.
    pub fn base(&self) -> Result<Option<Base>> {
        let Some(base) = self.before()? else { return Ok(None) };
        let since = format!("{}..HEAD", base.commit);
        let line = format!("--grep=^{ON_PURPOSE}");
        Ok(match self.git(&["log", "-1", "--format=%H", &line, &since])?.as_str() {
            "" => Some(base),
            breaking => Some(Base {
                commit: breaking.to_owned(),
                why: format!("which broke them on purpose: {}", self.reason(breaking)?),
            }),
        })
    }

    fn before(&self) -> Result<Option<Base>> {
        let head = self.git(&["rev-parse", "HEAD"])?;
        for main in ["origin/main", "main"] {
            if self.commit(main).is_none() {
                continue;
            }
            let left = self.git(&["merge-base", main, "HEAD"]).unwrap_or_default();
            if !left.is_empty() && left != head {
                return Ok(Some(Base { commit: left, why: format!("where this left {main}") }));
            }
        }
        if !self.git(&["status", "--porcelain", "--", "proto"])?.is_empty() {
            return Ok(Some(Base { commit: head, why: "the last commit".into() }));
        }
        let changed = self.git(&["log", "-1", "--format=%H", "--", "proto"])?;
        Ok(self
            .commit(&format!("{changed}^"))
            .map(|commit| Base { commit, why: "before the last commit to proto/".into() }))
    }

    /// The full hash of a commit, if git knows it.
    pub fn commit(&self, name: &str) -> Option<String> {
        self.git(&["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")]).ok()
    }

    fn reason(&self, commit: &str) -> Result<String> {
        let message = self.git(&["log", "-1", "--format=%B", commit])?;
        let reason = message.lines().find_map(|line| line.strip_prefix(ON_PURPOSE));
        Ok(reason.unwrap_or_default().to_owned())
    }

    /// The contracts of a commit, as an archive that buf reads. `None` where it had none.
    pub fn archive(&self, commit: &str, file: &Path) -> Result<Option<String>> {
        if self.git(&["ls-tree", commit, "proto/buf.yaml"])?.is_empty() {
            return Ok(None);
        }
        let output = file.display().to_string();
        self.git(&["archive", "--format=tar", "--output", &output, commit, "proto"])?;
        Ok(Some(format!("{output}#format=tar,subdir=proto")))
    }

    fn git(&self, args: &[&str]) -> Result<String> {
        install::run(Command::new("git").arg("-C").arg(&self.root).args(args))
    }
}

/// buf's STANDARD rules.
pub fn lint(buf: &Path, root: &Path) -> Command {
    let mut command = Command::new(buf);
    command.arg("lint").arg(root.join("proto"));
    command
}

/// Compares the contracts of the checkout with a commit's (`against`, or what [`Checkout::base`] says), showing
/// what goes on through `tell` and running buf through `show`.
///
/// # Errors
/// A contract broke, or git doesn't know `against`.
pub fn compare(
    buf: &Path,
    root: &Path,
    against: Option<&str>,
    show: impl FnOnce(&mut Command) -> Result<()>,
) -> Result<()> {
    let Some(checkout) = Checkout::at(root) else {
        tell!("    not a git checkout: there is nothing to compare with");
        return Ok(());
    };
    let base = match against {
        Some(name) => {
            let commit = checkout.commit(name).with_context(|| format!("git knows no commit `{name}`"))?;
            Some(Base { commit, why: name.to_owned() })
        }
        None => checkout.base()?,
    };
    let Some(Base { commit, why }) = base else {
        tell!("    these are the first contracts that git knows: there is nothing to compare with");
        return Ok(());
    };
    let short = &commit[..commit.len().min(10)];
    let file = std::env::temp_dir().join(format!("artel-contracts-{}.tar", std::process::id()));
    let Some(before) = checkout.archive(&commit, &file)? else {
        tell!("    {short} ({why}) has no contracts: there is nothing to compare with");
        return Ok(());
    };
    tell!("    with {short}: {why}");
    let shown = show(Command::new(buf).arg("breaking").arg(root.join("proto")).args(["--against", &before]));
    let _ = std::fs::remove_file(&file);
    if shown.is_err() {
        bail!(
            "a contract broke: whoever relies on it fails. Add beside what is there instead of changing it. If nobody \
             can rely on it yet, commit it with a line `{ON_PURPOSE}WHY` in the message"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with one commit.
    struct Repository(PathBuf);

    impl Repository {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("artel-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&root);
            std::fs::create_dir_all(root.join("proto")).unwrap();
            let repository = Self(root);
            repository.git(&["init", "--quiet", "--initial-branch=main"]);
            repository.commit("proto/buf.yaml", "version: v2", "Begin");
            repository
        }

        fn git(&self, args: &[&str]) -> String {
            let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
            let options = ["-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"];
            let mut command = Command::new("git");
            install::run(command.arg("-C").arg(&self.0).args(identity).args(options).args(args)).unwrap()
        }

        fn commit(&self, file: &str, text: &str, message: &str) -> String {
            std::fs::write(self.0.join(file), text).unwrap();
            self.git(&["add", "--all"]);
            self.git(&["commit", "--quiet", "--message", message]);
            self.git(&["rev-parse", "HEAD"])
        }

        fn base(&self) -> Option<String> {
            Checkout::at(&self.0).unwrap().base().unwrap().map(|base| base.commit)
        }
    }

    impl Drop for Repository {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn on_main_the_contracts_before_their_last_change_count() {
        let repository = Repository::new("base-main");
        assert_eq!(repository.base(), None);
        let first = repository.git(&["rev-parse", "HEAD"]);
        let second = repository.commit("proto/a.proto", "1", "Change");
        assert_eq!(repository.base().as_ref(), Some(&first));
        repository.commit("other", "1", "Do something else");
        assert_eq!(repository.base().as_ref(), Some(&first));
        // A change that isn't committed is compared with the last commit.
        std::fs::write(repository.0.join("proto/a.proto"), "2").unwrap();
        assert_eq!(repository.base(), Some(repository.git(&["rev-parse", "HEAD"])));
        assert_ne!(repository.base(), Some(second));
    }

    #[test]
    fn on_a_branch_all_that_it_changes_is_compared() {
        let repository = Repository::new("base-branch");
        let left = repository.commit("proto/a.proto", "1", "Change");
        repository.git(&["switch", "--quiet", "--create", "branch"]);
        repository.commit("proto/a.proto", "2", "Change");
        repository.commit("proto/a.proto", "3", "Change");
        assert_eq!(repository.base(), Some(left));
    }

    #[test]
    fn what_is_broken_on_purpose_is_where_it_begins_anew() {
        let repository = Repository::new("base-purpose");
        let message = "Rename a field\n\nBreaks-contract: nobody has it yet";
        let breaking = repository.commit("proto/a.proto", "1", message);
        assert_eq!(repository.base(), Some(breaking.clone()));
        let checkout = Checkout::at(&repository.0).unwrap();
        assert_eq!(checkout.reason(&breaking).unwrap(), "nobody has it yet");
        // The next change is compared with it.
        repository.commit("proto/a.proto", "2", "Change");
        assert_eq!(repository.base(), Some(breaking));
    }

    #[test]
    fn a_folder_without_git_has_no_base() {
        let folder = std::env::temp_dir().join(format!("artel-no-git-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert!(Checkout::at(&folder).is_none());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
