//! All events that a filter wants, as one file. Read a page at a time while it is sent, so that the size of the history does
//! not matter.

use axum::response::Response;
use futures::{StreamExt, stream};
use http::{HeaderValue, header};
use syncline_domain::{Name, event::Event};
use syncline_store::{Db, EventFilter, Page};

use crate::{
    csv,
    format::Format,
    page,
    problem::{Problem, Result},
};

/// Events read at a time.
const PAGE: u32 = 500;

const HEADINGS: [&str; 14] = [
    "seq",
    "at",
    "level",
    "kind",
    "message",
    "actor",
    "node",
    "server",
    "collections",
    "sync",
    "run",
    "plugin",
    "device",
    "data",
];

/// What is still to be read.
struct Rest {
    after: Option<String>,
    /// Events; no limit if absent.
    most: Option<u32>,
}

/// The answer. The first page is read before it begins, so that what cannot be read at all is refused as such.
pub(super) async fn export(
    db: Db,
    filter: EventFilter,
    format: Format,
    (limit, after): (Option<u32>, Option<String>),
) -> Result<Response> {
    let page = page::page(limit, after)?;
    let mut rest = Some(Rest { after: page.after, most: limit });
    let mut head = String::new();
    if format == Format::Csv {
        csv::line(&mut head, HEADINGS);
    }
    let first = next(&db, &filter, format, &mut rest).await?.unwrap_or_default();
    let more = stream::try_unfold((db, filter, rest), move |(db, filter, mut rest)| async move {
        let text = next(&db, &filter, format, &mut rest).await?;
        Ok::<_, Problem>(text.map(|text| (text, (db, filter, rest))))
    });
    let mut response = format.answer(stream::iter([Ok(head + &first)]).chain(more));
    let name = if format == Format::Csv { "events.csv" } else { "events.ndjson" };
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition.map_err(Problem::internal)?);
    Ok(response)
}

/// The next events as text; `None` at the end.
async fn next(
    db: &Db,
    filter: &EventFilter,
    format: Format,
    rest: &mut Option<Rest>,
) -> Result<Option<String>> {
    let Some(Rest { after, most }) = rest.take() else { return Ok(None) };
    let limit = most.unwrap_or(PAGE).min(PAGE);
    let listed = db.events(filter, &Page { limit, after }).await?;
    let left = most.map(|most| most.saturating_sub(u32::try_from(listed.items.len()).unwrap_or(u32::MAX)));
    *rest = listed.next.filter(|_| left != Some(0)).map(|next| Rest { after: Some(next), most: left });
    let mut text = String::new();
    for event in &listed.items {
        write(&mut text, format, event)?;
    }
    Ok(Some(text))
}

fn write(text: &mut String, format: Format, event: &Event) -> Result<()> {
    if format == Format::Csv {
        row(text, event)?;
    } else {
        text.push_str(&serde_json::to_string(event).map_err(Problem::internal)?);
        text.push('\n');
    }
    Ok(())
}

fn row(text: &mut String, Event { seq, at, node, event }: &Event) -> Result<()> {
    let word = |name: &Option<Name>| name.as_ref().map(Name::to_string).unwrap_or_default();
    let collections: Vec<&str> = event.collections.iter().map(Name::as_str).collect();
    let level = serde_json::to_value(event.level).map_err(Problem::internal)?;
    let fields = [
        seq.to_string(),
        at.to_string(),
        level.as_str().unwrap_or_default().to_owned(),
        event.kind.clone(),
        event.message.clone(),
        event.actor.clone(),
        node.to_string(),
        word(&event.store),
        collections.join(" "),
        word(&event.sync),
        event.run.map(|run| run.to_string()).unwrap_or_default(),
        word(&event.plugin),
        event.device.map(|device| device.to_string()).unwrap_or_default(),
        if event.data.is_null() { String::new() } else { event.data.to_string() },
    ];
    csv::line(text, fields.iter().map(String::as_str));
    Ok(())
}
