//! Plain HTTP (section "Plain HTTP Transport"): each message is a request, and its answer the server's.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use syncline_protocol::{
    InstanceUid, frame,
    opamp::{AgentToServer, ServerToAgent},
};

use super::{Connector, Endpoint, Failure, MESSAGE_LIMIT};
use crate::state::credential::Secret;

/// A server that is asked.
pub struct Polling {
    connector: Connector,
    endpoint: Endpoint,
    authorization: Secret,
    instance: InstanceUid,
    /// Kept for the next request where the server keeps it.
    sender: Option<SendRequest<Full<Bytes>>>,
    answers: VecDeque<ServerToAgent>,
}

impl Polling {
    pub(super) const fn new(
        connector: Connector,
        endpoint: Endpoint,
        authorization: Secret,
        instance: InstanceUid,
    ) -> Self {
        Self { connector, endpoint, authorization, instance, sender: None, answers: VecDeque::new() }
    }

    pub(super) async fn exchange(&mut self, message: &AgentToServer) -> Result<(), Failure> {
        let body =
            frame::encode_body(message, MESSAGE_LIMIT).map_err(|error| Failure::Broken(error.to_string()))?;
        let request = Request::post(&self.endpoint.path)
            .header(header::HOST, self.endpoint.authority())
            .header(header::CONTENT_TYPE, frame::CONTENT_TYPE)
            .header(header::AUTHORIZATION, &self.authorization.0)
            .header(InstanceUid::HEADER, self.instance.to_string())
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failure::broken("the request")(error.to_string()))?;
        let broken = |error: hyper::Error| Failure::broken("the request")(error.to_string());
        let mut sender = self.sender().await?;
        let answer = sender.send_request(request).await.map_err(broken)?;
        let (parts, body) = answer.into_parts();
        if !parts.status.is_success() {
            return Err(Failure::of_status(parts.status, &parts.headers));
        }
        let body = Limited::new(body, MESSAGE_LIMIT).collect().await;
        let body = body.map_err(|error| Failure::broken("the answer")(error.to_string()))?.to_bytes();
        let answer = frame::decode_body(&body, MESSAGE_LIMIT);
        self.answers.push_back(answer.map_err(|error| Failure::broken("the answer")(error.to_string()))?);
        self.sender = Some(sender);
        Ok(())
    }

    pub(super) async fn receive(&mut self) -> Result<ServerToAgent, Failure> {
        match self.answers.pop_front() {
            Some(answer) => Ok(answer),
            None => std::future::pending().await,
        }
    }

    /// The connection of the last request if it still stands, or a new one.
    async fn sender(&mut self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        let stream = self.connector.stream(&self.endpoint).await?;
        let made = handshake(TokioIo::new(stream)).await;
        let (sender, connection) =
            made.map_err(|error| Failure::broken("HTTP with the server")(error.to_string()))?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
