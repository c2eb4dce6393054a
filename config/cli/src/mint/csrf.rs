//! CSRF tokens.

use clap::Args;
use postern_config::Path;
use postern_engine::csrf::CsrfKey;

use super::{Failure, Source, resolve};
use crate::world;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// The policy that the handshake falls under.
    #[arg(long, value_name = "NAME")]
    policy: String,
    /// The value of the session cookie.
    #[arg(long, value_name = "ID")]
    session_id: String,
}

pub(super) fn mint(arguments: &Arguments) -> Result<String, Failure> {
    let Arguments { source, policy: name, session_id } = arguments;
    if session_id.is_empty() {
        return Err(Failure::Use("--session-id is empty: no such session is let in".to_owned()));
    }
    let configs = source.read()?;
    let by_name = |config: &'_ postern_config::Config| config.policies.get(name).cloned();
    let policy = source.find(&configs, "policy", name, by_name, |config| config.policies.keys().collect())?;
    let path = Path::root().key("policies").key(name.as_str()).key("csrf");
    let Some(rule) = policy.csrf else {
        return Err(Failure::Use(format!("{path}: the policy asks for no CSRF token")));
    };
    let secret = resolve(&rule.secret, &path.key("secret"))?;
    let key = CsrfKey::new(&secret).ok_or_else(|| Failure::Problem(format!("{path}.secret: is no key")))?;
    Ok(key.mint(session_id.as_bytes(), world::now()))
}
