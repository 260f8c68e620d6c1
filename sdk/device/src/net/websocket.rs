//! WebSocket (section "WebSocket Transport").

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderValue, header};
use syncline_protocol::{
    InstanceUid, frame,
    opamp::{AgentToServer, ServerToAgent},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Error, Message, client::IntoClientRequest as _, protocol::WebSocketConfig},
};

use super::{Connector, Endpoint, Failure, MESSAGE_LIMIT, stream, timed};
use crate::state::credential::Login;

/// Bytes that are read at once: small, since what a device is told seldom is large and many of them share a simulation.
const BUFFER: usize = 4 * 1024;

/// An open connection.
pub struct Socket(WebSocketStream<Box<dyn stream::Bytes>>);

impl Socket {
    pub(super) async fn open(
        connector: &Connector,
        endpoint: &Endpoint,
        login: &Login,
        instance: InstanceUid,
    ) -> Result<Self, Failure> {
        let broken = |error: String| Failure::broken("the request")(error);
        let mut request =
            endpoint.url("ws").into_client_request().map_err(|error| broken(error.to_string()))?;
        let value = |text: &str| HeaderValue::try_from(text).map_err(|error| broken(error.to_string()));
        let mut authorization = value(&login.authorization.0)?;
        authorization.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, authorization);
        request.headers_mut().insert(InstanceUid::HEADER, value(&instance.to_string())?);
        timed(async {
            let stream = connector.stream(endpoint).await?;
            let config = WebSocketConfig::default()
                .read_buffer_size(BUFFER)
                .max_message_size(Some(MESSAGE_LIMIT))
                .max_frame_size(Some(MESSAGE_LIMIT));
            let opened = client_async_with_config(request, stream, Some(config)).await;
            opened.map(|(socket, _)| Self(socket)).map_err(|error| unopened(&error))
        })
        .await
    }

    pub(super) async fn send(&mut self, message: &AgentToServer) -> Result<(), Failure> {
        let frame =
            frame::encode(message, MESSAGE_LIMIT).map_err(|error| Failure::Broken(error.to_string()))?;
        let sent = self.0.send(Message::Binary(Bytes::from(frame))).await;
        sent.map_err(|error| Failure::broken("the connection")(error.to_string()))
    }

    pub(super) async fn receive(&mut self) -> Result<ServerToAgent, Failure> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Binary(frame))) => {
                    let said = frame::decode(&frame, MESSAGE_LIMIT);
                    return said.map_err(|error| Failure::broken("what the server says")(error.to_string()));
                }
                Some(Ok(Message::Close(_))) | None => {
                    return Err(Failure::Broken("the server closed the connection".to_owned()));
                }
                Some(Ok(Message::Text(_))) => {
                    return Err(Failure::Broken("the server sends text, where OpAMP has bytes".to_owned()));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Err(Failure::broken("the connection")(error.to_string())),
            }
        }
    }

    pub(super) async fn close(mut self: Box<Self>) -> Result<(), Failure> {
        self.0.close(None).await.map_err(|error| Failure::broken("the connection")(error.to_string()))
    }
}

/// A server that refuses is heard; anything else that is no WebSocket is someone on the way.
fn unopened(error: &Error) -> Failure {
    match error {
        Error::Http(answer) => match Failure::of_status(answer.status(), answer.headers()) {
            Failure::Broken(why) => Failure::NoWebSocket(why),
            known => known,
        },
        Error::Io(error) => Failure::broken("the connection")(error.to_string()),
        other => Failure::NoWebSocket(other.to_string()),
    }
}
