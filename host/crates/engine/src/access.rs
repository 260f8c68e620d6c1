//! Tokens and secrets.

use jiff::Timestamp;
use syncline_domain::{
    Name,
    access::{Role, TokenRecord},
    event::NewEvent,
    ids::TokenId,
    secret::SecretRecord,
};

use crate::{Engine, Error, Result};

/// Most bytes of a secret's value.
const MAX_SECRET: usize = 64 * 1024;

impl Engine {
    /// Makes a token. The text is given out this once and kept as a hash.
    pub async fn create_token(
        &self,
        name: &str,
        role: Role,
        expires_at: Option<Timestamp>,
        actor: &str,
    ) -> Result<(TokenRecord, String)> {
        let printable = |c: char| !c.is_control();
        if name.is_empty() || name.len() > 100 || !name.chars().all(printable) {
            return Err(Error::invalid(
                "token-name",
                "a token needs a name of 1 to 100 printable characters",
            ));
        }
        if let Some(at) = expires_at.filter(|at| *at <= self.clock().now()) {
            return Err(Error::invalid("token-expiry", format!("expires_at {at} is past")));
        }
        let event = NewEvent::new("token.created", actor, format!("Token {name:?} was made"));
        Ok(self.db().create_token(name, role, expires_at, event).await?)
    }

    /// Ends a token.
    pub async fn remove_token(&self, id: TokenId, actor: &str) -> Result<()> {
        let event = NewEvent::new("token.removed", actor, format!("Token {id} was revoked"));
        Ok(self.db().remove_token(id, event).await?)
    }

    /// Sets a secret. Its value can be used afterwards, and never read back.
    pub async fn put_secret(
        &self,
        name: &Name,
        value: &[u8],
        description: &str,
        actor: &str,
    ) -> Result<SecretRecord> {
        if value.is_empty() || value.len() > MAX_SECRET {
            let message =
                format!("the value of secret {name} has {} bytes: use 1 to {MAX_SECRET}", value.len());
            return Err(Error::invalid("secret-value", message));
        }
        let event = NewEvent::new("secret.set", actor, format!("Secret {name} was set"));
        Ok(self.db().put_secret(name, value, description, event).await?)
    }

    /// Forgets a secret.
    pub async fn remove_secret(&self, name: &Name, actor: &str) -> Result<()> {
        let event = NewEvent::new("secret.removed", actor, format!("Secret {name} was removed"));
        Ok(self.db().remove_secret(name, event).await?)
    }
}
