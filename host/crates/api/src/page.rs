//! Lists: `{"items": […], "next": cursor or null}`, with `?limit=&after=`.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use syncline_store::{Listed, Page};

use crate::problem::{Problem, Result};

/// Which part of a list is wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// Most items of the answer; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next` of the page before, unchanged and with the same filter.
    after: Option<String>,
}

impl PageParams {
    /// As the store takes it.
    pub fn page(self) -> Result<Page> {
        page(self.limit, self.after)
    }
}

/// A page within its bounds.
pub(crate) fn page(limit: Option<u32>, after: Option<String>) -> Result<Page> {
    let limit = limit.unwrap_or(Page::default().limit);
    if (1..=Page::MAX).contains(&limit) {
        return Ok(Page { limit, after });
    }
    let detail = format!("limit of {limit}: use 1 to {}", Page::MAX);
    Err(Problem::new(StatusCode::BAD_REQUEST, "limit", detail))
}

/// A page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Items<T> {
    /// The items.
    pub items: Vec<T>,
    /// Give it as `after` for the next page; null at the end.
    pub next: Option<String>,
}

impl<T> Items<T> {
    /// Each item shown in another way.
    pub fn map<U>(self, show: impl FnMut(T) -> U) -> Items<U> {
        Items { items: self.items.into_iter().map(show).collect(), next: self.next }
    }

    /// A page of a short list that is there as a whole, in the order of a text that names each item.
    pub fn of(mut all: Vec<T>, page: &Page, name: impl Fn(&T) -> String) -> Self {
        all.sort_by_cached_key(&name);
        if let Some(after) = &page.after {
            all.retain(|item| name(item) > *after);
        }
        let limit = page.limit as usize;
        let more = all.len() > limit;
        all.truncate(limit);
        let next = if more { all.last().map(name) } else { None };
        Self { items: all, next }
    }
}

impl<T> From<Listed<T>> for Items<T> {
    fn from(listed: Listed<T>) -> Self {
        Self { items: listed.items, next: listed.next }
    }
}

impl<T: Serialize> IntoResponse for Items<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}
