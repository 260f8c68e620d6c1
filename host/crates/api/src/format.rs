//! In which form an answer comes: by `?format=`, or else by the header `Accept`.

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use futures::{Stream, TryStreamExt};
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;

use crate::{csv, problem::Problem};

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// One JSON document.
    Json,
    /// Lines of comma-separated values, with headings (RFC 4180).
    Csv,
    /// A JSON document a line.
    Ndjson,
}

impl Format {
    const NDJSON: &str = "application/x-ndjson";

    /// What was asked for. A header that names none of them gets JSON.
    pub fn wanted(asked: Option<Self>, headers: &HeaderMap) -> Self {
        asked.unwrap_or_else(|| {
            let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
            let mut types = accept.flat_map(|value| value.split(',')).map(|one| {
                let media = one.split(';').next().unwrap_or_default().trim();
                match media.to_ascii_lowercase().as_str() {
                    "text/csv" => Some(Self::Csv),
                    Self::NDJSON => Some(Self::Ndjson),
                    "application/json" | "application/*" | "*/*" => Some(Self::Json),
                    _ => None,
                }
            });
            types.find_map(|found| found).unwrap_or(Self::Json)
        })
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => csv::MEDIA_TYPE,
            Self::Ndjson => Self::NDJSON,
        }
    }

    /// An answer that is sent while it is made. One that fails half-way breaks off, so that nobody takes it for whole.
    pub fn answer(self, parts: impl Stream<Item = Result<String, Problem>> + Send + 'static) -> Response {
        let parts = parts.map_ok(Bytes::from).map_err(|problem| {
            problem.log_broken_off();
            "the answer broke off: the server's log says why"
        });
        let mut response = Body::from_stream(parts).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type()));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_goes_before_the_header_and_json_is_what_there_is_otherwise() {
        let wanted = |asked, accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
            Format::wanted(asked, &headers)
        };
        assert_eq!(wanted(None, "text/csv"), Format::Csv);
        assert_eq!(wanted(None, "text/html, text/CSV;q=0.9, */*"), Format::Csv);
        assert_eq!(wanted(None, "application/x-ndjson"), Format::Ndjson);
        assert_eq!(wanted(None, "*/*"), Format::Json);
        assert_eq!(wanted(None, "text/html"), Format::Json);
        assert_eq!(wanted(Some(Format::Json), "text/csv"), Format::Json);
        assert_eq!(Format::wanted(None, &HeaderMap::new()), Format::Json);
    }
}
