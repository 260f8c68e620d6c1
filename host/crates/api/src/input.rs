//! What comes in: path parameters, queries and bodies, each refused with the name of what was wrong.
//!
//! * [`At`]: the parameter in the path
//! * [`Params`]: the query; its type denies unknown fields
//! * [`Json`]: a JSON body; [`MaybeJson`] where none means all defaults; [`With`] for two structures in one object
//! * [`Wasm`]: a package

use std::{fmt::Display, marker::PhantomData, str::FromStr};

use axum::extract::{
    FromRequest, FromRequestParts, Query, RawPathParams, Request,
    rejection::{BytesRejection, JsonRejection},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header, request::Parts};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::{Map, Value};

use crate::problem::{Problem, Result};

/// The parameter in the path, such as `{name}` or `{id}`.
pub(crate) struct At<T>(pub T);

impl<S: Send + Sync, T: FromStr<Err: Display>> FromRequestParts<S> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "path-parameter", detail);
        let params =
            RawPathParams::from_request_parts(parts, state).await.map_err(|error| bad(error.body_text()))?;
        let (key, text) =
            params.iter().next().ok_or_else(|| Problem::internal("a route without parameter"))?;
        match text.parse() {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(bad(format!("{text:?} in place of {{{key}}} in the path: {error}"))),
        }
    }
}

/// Both parameters of a path with two.
pub(crate) struct AtBoth<A, B>(pub A, pub B);

impl<S, A, B> FromRequestParts<S> for AtBoth<A, B>
where
    S: Send + Sync,
    A: FromStr<Err: Display>,
    B: FromStr<Err: Display>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "path-parameter", detail);
        let params =
            RawPathParams::from_request_parts(parts, state).await.map_err(|error| bad(error.body_text()))?;
        let mut params = params.iter();
        let (Some((first_key, first)), Some((second_key, second))) = (params.next(), params.next()) else {
            return Err(Problem::internal("a route without two parameters"));
        };
        let told = |key: &str, text: &str, error: &dyn Display| {
            bad(format!("{text:?} in place of {{{key}}} in the path: {error}"))
        };
        Ok(Self(
            first.parse().map_err(|error| told(first_key, first, &error))?,
            second.parse().map_err(|error| told(second_key, second, &error))?,
        ))
    }
}

/// The query.
pub(crate) struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(error) => {
                let detail = format!("query: {}", without_preface(&error.body_text()));
                Err(Problem::new(StatusCode::BAD_REQUEST, "query", detail))
            }
        }
    }
}

/// The query of a route that has none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoParams {}

/// A JSON body.
pub(crate) struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        must_be(request.headers(), "application/json", is_json)?;
        let bytes = body(request, state).await?;
        parse(&bytes).map(Self)
    }
}

/// A JSON body, or none at all for all defaults.
pub(crate) struct MaybeJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybeJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let has_type = request.headers().contains_key(header::CONTENT_TYPE);
        if has_type {
            must_be(request.headers(), "application/json", is_json)?;
        }
        let bytes = body(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        if !has_type {
            return Err(wrong_type("application/json", "none"));
        }
        // The document says that `null` will do as well.
        parse::<Option<T>>(&bytes).map(|body| Self(body.unwrap_or_default()))
    }
}

/// A package.
pub(crate) struct Wasm(pub Vec<u8>);

impl<S: Send + Sync> FromRequest<S> for Wasm {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        must_be(request.headers(), "application/wasm", |mime| mime == "application/wasm")?;
        Ok(Self(body(request, state).await?.into()))
    }
}

fn must_be(headers: &HeaderMap, wanted: &str, fits: impl Fn(&str) -> bool) -> Result<()> {
    let given = headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let given = given.as_deref().unwrap_or("none");
    let mime = given.split(';').next().unwrap_or(given).trim().to_ascii_lowercase();
    if fits(&mime) { Ok(()) } else { Err(wrong_type(wanted, given)) }
}

fn is_json(mime: &str) -> bool {
    mime == "application/json" || (mime.starts_with("application/") && mime.ends_with("+json"))
}

fn wrong_type(wanted: &str, given: &str) -> Problem {
    let detail = format!("the body must be {wanted}: the header Content-Type says {given:?}");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", detail)
}

pub(crate) async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes> {
    Bytes::from_request(request, state).await.map_err(|error: BytesRejection| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = "the body is larger than this route takes: 2 MiB of JSON, or a package of 32 MiB";
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-size", detail)
        }
        _ => Problem::new(
            StatusCode::BAD_REQUEST,
            "body",
            format!("the body broke off: {}", error.body_text()),
        ),
    })
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    match axum::Json::from_bytes(bytes) {
        Ok(axum::Json(value)) => Ok(value),
        Err(JsonRejection::JsonDataError(error)) => {
            let detail = format!("body: {}", without_preface(&error.body_text()));
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "body", detail))
        }
        Err(error) => {
            let detail = format!("the body is not JSON: {}", without_preface(&error.body_text()));
            Err(Problem::new(StatusCode::BAD_REQUEST, "json", detail))
        }
    }
}

/// Without the words that a rejection of axum begins with.
fn without_preface(text: &str) -> &str {
    text.split_once(": ").map_or(text, |(_, rest)| rest)
}

/// Fields that stand in a body beside those of another structure.
pub(crate) trait Beside: DeserializeOwned {
    /// Their names.
    const FIELDS: &'static [&'static str];
}

/// Two structures in one JSON object, both of which refuse what they do not know; serde's `flatten` cannot do that.
pub(crate) struct With<B, T> {
    /// The fields beside.
    pub beside: B,
    /// The rest.
    pub rest: T,
}

impl<'de, B: Beside, T: DeserializeOwned> Deserialize<'de> for With<B, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let mut rest = Map::deserialize(deserializer)?;
        let taken = B::FIELDS.iter().filter_map(|field| rest.remove_entry(*field)).collect();
        let beside = serde_json::from_value(Value::Object(taken)).map_err(D::Error::custom)?;
        let rest = serde_json::from_value(Value::Object(rest)).map_err(|error| {
            let unknown = error.to_string().starts_with("unknown field");
            let also = if unknown { format!(", `{}`", B::FIELDS.join("`, `")) } else { String::new() };
            D::Error::custom(format!("{error}{also}"))
        })?;
        Ok(Self { beside, rest })
    }
}

/// Fields that an answer has and a change cannot set: accepted, so that what GET gave can be sent back, and ignored.
pub(crate) trait Shown {
    /// Their names.
    const FIELDS: &'static [&'static str];
}

/// The editable part of what GET gave.
pub(crate) struct Edited<S, T> {
    /// What was set.
    pub spec: T,
    shown: PhantomData<S>,
}

impl<'de, S: Shown, T: DeserializeOwned> Deserialize<'de> for Edited<S, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let mut map: Map<String, Value> = Map::deserialize(deserializer)?;
        map.retain(|field, _| !S::FIELDS.contains(&field.as_str()));
        let spec = serde_json::from_value(Value::Object(map)).map_err(D::Error::custom)?;
        Ok(Self { spec, shown: PhantomData })
    }
}
