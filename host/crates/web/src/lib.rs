//! The host's outgoing HTTP. Whatever of the host speaks with a web server does so through a [`Client`].
//!
//! A [`Client`] belongs to one purpose: the origins that an administrator allowed for it, and whom it trusts. With
//! [`Client::send`] a whole answer of limited size comes back; with [`Client::open`] its body is read piece by piece, for what
//! may be large: [`Request::from_byte`] goes on where an earlier try ended, and [`Answer::first_byte`] tells where the body
//! that came really begins.
//!
//! Failures have the codes of wit/http.wit: `unavailable` with `resolve`, `connect`, `tls`, `timeout` or `closed`; `denied` with
//! `origin`, `address`, `redirect` or `certificate`; `limit` with `body-size`. An answer of status 4xx or 5xx is an answer.
//!
//! # What holds everywhere
//!
//! * The address that was vetted is the one that is connected to: a name is resolved once, and nothing is connected to where
//!   `syncline_domain::address` refuses.
//! * At most 5 redirects are followed, of GET and HEAD alone, each to an allowed origin and vetted as the first.
//! * Secrets and `authorization` go to the origin that was asked, and never any more once a redirect has led away from it.
//! * No proxy of the environment, no cookies, no referrer, no compression, and nothing is sent twice.
//! * Secrets are in no failure, log or `Debug`; of a URL, query and fragment are left out there.

mod answer;
mod client;
mod problem;
mod request;
mod resolver;
mod trust;

pub use answer::{Answer, Whole};
pub use client::{Client, Terms};
pub use request::Request;

pub use reqwest::{
    Method, StatusCode,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
