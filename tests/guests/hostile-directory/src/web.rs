//! Asking web sources, well and for what a plugin may not have.

use syncline_plugin::{http::WebRequest, prelude::*};

use crate::{lie, search};

/// The first web source.
fn source() -> Result<WebSource> {
    web_sources().into_iter().next().ok_or_else(|| Failure::settings("no web source is bound"))
}

/// Asks as a good plugin does, and says that the one entry it makes up is all.
pub(crate) fn good(path: &str) -> Result<()> {
    let answer = source()?.get(path).header("accept", "application/json").bearer().send()?;
    if answer.status != 200 {
        return Err(Failure::unavailable(format!("status {}", answer.status)));
    }
    lie::all(&["ada".to_owned()])
}

/// Asks, and says that it was all, whatever came.
pub(crate) fn swallow(path: &str) -> Result<()> {
    drop(source()?.get(path).bearer().send());
    lie::all(&["ada".to_owned()])
}

/// Asks at another address in a source's name.
pub(crate) fn at(url: &str) -> Result<()> {
    let elsewhere = WebSource { url: url.to_owned(), ..source()? };
    elsewhere.get("").bearer().send().map(drop)
}

/// Asks a source that is not bound.
pub(crate) fn not_granted() -> Result<()> {
    let other = WebSource { name: "not-granted".to_owned(), ..source()? };
    other.get("/Users").send().map(drop)
}

/// Sends something with another method than GET.
pub(crate) fn sends(method: &str, path: &str) -> Result<()> {
    source()?.request(method, path).bearer().body("{}").send().map(drop)
}

/// Asks with one thing changed.
pub(crate) fn asks<'a>(
    source: &'a WebSource,
    change: impl FnOnce(WebRequest<'a>) -> WebRequest<'a>,
) -> Result<()> {
    change(source.get("/Users")).send().map(drop)
}

/// Does so with the first source.
pub(crate) fn first(change: impl for<'a> FnOnce(WebRequest<'a>) -> WebRequest<'a>) -> Result<()> {
    asks(&source()?, change)
}

/// Has the secret sent where it might come back, and looks for it in all that can be seen.
pub(crate) fn look_for(backwards: &str) -> Result<()> {
    let source = source()?;
    let needle = backwards.as_bytes();
    search::look("the source", format!("{source:?}").as_bytes(), needle)?;
    let Some(secret) = source.secrets.first() else {
        return Err(Failure::settings("the source has no secret"));
    };
    for header in ["authorization", "x-request-id"] {
        match source.get("/echo").secret(header, "", secret).send() {
            Ok(answer) => {
                search::look("the answer", &answer.body, needle)?;
                search::look("its headers", format!("{:?}", answer.headers).as_bytes(), needle)?;
            }
            Err(failure) => {
                search::look("a failure", failure.message().as_bytes(), needle)?;
                search::look("its memory", search::memory(), needle)?;
                return Err(failure);
            }
        }
    }
    search::look("its memory", search::memory(), needle)
}
