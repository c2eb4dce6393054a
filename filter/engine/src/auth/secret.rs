//! Secrets of the policy, turned into bytes when it is compiled.
//!
//! Owns the lookup of environment variables by name, through a function of the caller's. Never
//! reads the environment itself and never shows a secret in a problem.

use std::collections::BTreeMap;
use std::fmt;

use postern_config::{Path, Problem, ProblemKind, Secret};

/// The shortest secret that is accepted, in bytes: the output of SHA-256 (RFC 7518 §3.2).
pub const MIN_SECRET_BYTES: usize = 32;

/// The environment variables as they were when a document was compiled. Its `Debug` shows nothing.
#[derive(Clone, Default)]
pub(crate) struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Takes the variables that `secrets` name and that are set.
    pub(crate) fn of<'s>(secrets: impl Iterator<Item = &'s Secret>, env: Environment<'_>) -> Self {
        let names = secrets.filter_map(|secret| match secret {
            Secret::Env(name) => Some(name),
            Secret::Inline(_) => None,
        });
        Self(names.filter_map(|name| Some((name.clone(), env(name)?))).collect())
    }

    /// Resolves `secret` as [`resolve`] does, by these variables.
    pub(crate) fn resolve(&self, secret: &Secret, path: &Path) -> Result<Vec<u8>, Problem> {
        resolve(secret, path, &|name| self.0.get(name).cloned())
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Variables(…)")
    }
}

/// A function that looks up an environment variable by name.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Returns the bytes of `secret`, which stands at `path` in the document.
pub fn resolve(secret: &Secret, path: &Path, env: Environment<'_>) -> Result<Vec<u8>, Problem> {
    let (path, bytes) = match secret {
        Secret::Inline(bytes) => (path.key("inline").to_string(), bytes.clone()),
        Secret::Env(name) => {
            let path = path.key("env").to_string();
            let Some(value) = env(name) else {
                return Err(Problem::new(
                    ProblemKind::UnknownVariable,
                    path,
                    format!("the environment variable {name} is not set"),
                    format!("set {name} for the filter, in vm_config.environment_variables"),
                ));
            };
            (path, value.into_bytes())
        }
    };
    if bytes.len() < MIN_SECRET_BYTES {
        return Err(Problem::new(
            ProblemKind::WeakSecret,
            path,
            format!("the secret has {} bytes", bytes.len()),
            format!("use a random secret of at least {MIN_SECRET_BYTES} bytes"),
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "0123456789abcdef0123456789abcdef";

    fn env(name: &str) -> Option<String> {
        match name {
            "LONG" => Some(LONG.to_owned()),
            "SHORT" => Some("hunter2".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn a_secret_comes_from_the_document_or_the_environment() {
        for secret in [Secret::Env("LONG".into()), Secret::Inline(LONG.into())] {
            assert_eq!(
                resolve(&secret, &Path::root().key("p"), &env),
                Ok(LONG.as_bytes().to_vec()),
                "{secret:?}"
            );
        }
    }

    #[test]
    fn a_secret_that_is_missing_or_guessable_is_a_problem_that_does_not_show_it() {
        for (secret, path) in [
            (Secret::Env("ABSENT".into()), "p.env"),
            (Secret::Env("SHORT".into()), "p.env"),
            (Secret::Inline(b"hunter2".to_vec()), "p.inline"),
            (Secret::Inline(Vec::new()), "p.inline"),
        ] {
            let problem = resolve(&secret, &Path::root().key("p"), &env).unwrap_err();
            assert_eq!(problem.path, path, "{secret:?}");
            assert!(!problem.to_string().contains("hunter2"), "{problem}");
        }
    }
}
