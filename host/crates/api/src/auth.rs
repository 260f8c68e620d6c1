//! Who asks, and what they may do: the first argument of a handler is [`Viewer`], [`Operator`] or [`Admin`].
//!
//! Tokens are looked up at each request and kept nowhere, so that a revoked one ends at once on every node.

use axum::extract::FromRequestParts;
use http::{HeaderValue, StatusCode, header, request::Parts};
use jiff::Timestamp;
use serde::Serialize;
use syncline_domain::{access::Role, ids::TokenId};

use crate::{
    problem::{Problem, Result},
    state::Api,
};

/// Who asks.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct Caller {
    /// Name of the token: what events say who did it.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// The token.
    pub token: TokenId,
    /// When it ends; never if absent.
    pub expires_at: Option<Timestamp>,
}

impl Caller {
    /// Finds out who asks, once a request.
    pub async fn of(parts: &mut Parts, api: &Api) -> Result<Self> {
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let secret = bearer_token(parts)?;
        let Some(token) = api.db().token_by_secret(secret).await? else {
            let detail = "the token is unknown, expired or revoked: ask an administrator for a new one";
            return Err(unauthorized(
                "bad-token",
                detail,
                r#"Bearer realm="syncline", error="invalid_token""#,
            ));
        };
        let caller =
            Self { name: token.name, role: token.role, token: token.id, expires_at: token.expires_at };
        parts.extensions.insert(caller.clone());
        Ok(caller)
    }

    async fn with_role(parts: &mut Parts, api: &Api, least: Role) -> Result<Self> {
        let caller = Self::of(parts, api).await?;
        if caller.role >= least {
            return Ok(caller);
        }
        let detail = format!(
            "this needs the role {}, and the token {:?} has the role {}",
            word(least),
            caller.name,
            word(caller.role)
        );
        Err(Problem::new(StatusCode::FORBIDDEN, "role", detail))
    }
}

fn bearer_token(parts: &Parts) -> Result<&str> {
    const ASK: &str = r#"Bearer realm="syncline""#;
    let Some(value) = parts.headers.get(header::AUTHORIZATION) else {
        let detail = "send the header `Authorization: Bearer <token>`; the first admin token is in the file admin.token of the server's data folder";
        return Err(unauthorized("no-token", detail, ASK));
    };
    let token = value.to_str().ok().and_then(|text| text.split_once(' '));
    match token {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(token.trim())
        }
        _ => Err(unauthorized("bad-authorization", "the header Authorization is not `Bearer <token>`", ASK)),
    }
}

fn unauthorized(code: &str, detail: &str, ask: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, detail)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static(ask))
}

/// A role as in JSON.
const fn word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

macro_rules! least_role {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name(pub Caller);

        impl FromRequestParts<Api> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self> {
                Caller::with_role(parts, api, Role::$name).await.map(Self)
            }
        }

        impl $name {
            /// What events say who did it.
            #[allow(dead_code, reason = "those who only look do nothing")]
            pub fn actor(&self) -> &str {
                &self.0.name
            }
        }
    )*};
}

least_role! {
    /// Anyone with a token.
    Viewer,
    /// An operator, or more.
    Operator,
    /// An administrator.
    Admin,
}
