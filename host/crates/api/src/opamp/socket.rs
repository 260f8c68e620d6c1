//! Over WebSocket: a connection per device, on which the server can speak first (section "WebSocket Transport").

use std::sync::Arc;

use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    response::Response,
};
use http::request::Parts;
use syncline_engine::devices::{
    Connection, Wake,
    session::{Answer, Link},
};
use syncline_protocol::{
    InstanceUid,
    frame::{CLOSE_TOO_LARGE, FrameError, decode, encode},
    opamp::{AgentToServer, ServerErrorResponseType, ServerToAgent},
};

use super::{Quietly, bearer, later, limits::OF_SOCKET, link, quietly, unauthorized, unavailable};
use crate::state::Api;

/// Bytes that are read at a time.
const BUFFER: usize = 2 << 10;

/// Begins a connection of a device.
pub(super) async fn connect(State(api): State<Api>, parts: Parts, upgrade: WebSocketUpgrade) -> Response {
    let Some(token) = bearer(&parts.headers).map(str::to_owned) else { return unauthorized() };
    match api.engine.authenticate_device(&token).await {
        Ok(Some(_)) => {}
        Ok(None) => return unauthorized(),
        Err(error) => {
            tracing::error!(%error, "A device could not be let in");
            let (_, seconds) = unavailable(Vec::new());
            return later(http::StatusCode::SERVICE_UNAVAILABLE, seconds);
        }
    }
    let limit = api.engine.config().devices.message_limit;
    let link = link(&api, &parts, true);
    // Most connections are idle most of the time: what they hold in memory counts.
    let upgrade = upgrade.read_buffer_size(BUFFER).write_buffer_size(0);
    let upgrade = upgrade.max_message_size(limit).max_frame_size(limit);
    upgrade.on_upgrade(move |socket| Talk { api, token, link, limit, device: None }.until_end(socket))
}

/// One connection.
struct Talk {
    api: Api,
    token: String,
    link: Link,
    limit: usize,
    /// The device, once it is known, with the process that speaks for it.
    device: Option<(Connection, InstanceUid)>,
}

/// Why a connection ends.
struct End {
    code: u16,
    why: &'static str,
}

const GONE: End = End { code: close_code::NORMAL, why: "" };

impl Talk {
    async fn until_end(mut self, mut socket: WebSocket) {
        let end = loop {
            match self.step(&mut socket).await {
                Ok(()) => {}
                Err(end) => break end,
            }
        };
        let frame = CloseFrame { code: end.code, reason: end.why.into() };
        // One that is closed already needs no word of farewell.
        let _ = socket.send(Message::Close(Some(frame))).await;
    }

    async fn step(&mut self, socket: &mut WebSocket) -> Result<(), End> {
        let wake = self.device.as_ref().map(|(connection, _)| connection.wake());
        tokio::select! {
            received = socket.recv() => match received {
                // On the heap, so that a connection at rest does not hold the room that answering takes.
                Some(Ok(Message::Binary(frame))) => Box::pin(self.answer(socket, &frame)).await,
                Some(Ok(Message::Text(_))) => {
                    Err(End { code: close_code::UNSUPPORTED, why: "messages are binary" })
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
                Some(Ok(Message::Close(_))) | None => Err(GONE),
                Some(Err(_)) => Err(End { code: CLOSE_TOO_LARGE, why: "the message cannot be read, or is too large" }),
            },
            full = woken(wake) => Box::pin(self.speak(socket, full)).await,
            () = self.api.options.stopping.cancelled() => {
                Err(End { code: close_code::AWAY, why: "the server is stopping" })
            }
        }
    }

    async fn answer(&mut self, socket: &mut WebSocket, frame: &[u8]) -> Result<(), End> {
        let message: AgentToServer = match decode(frame, self.limit) {
            Ok(message) => message,
            Err(FrameError::TooLarge { .. }) => {
                return Err(End { code: CLOSE_TOO_LARGE, why: "the message is too large" });
            }
            Err(error) => {
                let kind = ServerErrorResponseType::BadRequest;
                let refusal = ServerToAgent::error(Vec::new(), kind, error.to_string());
                return self.say(socket, &refusal).await;
            }
        };
        let engine = &self.api.engine;
        let answered = async {
            match quietly(&self.api, &self.token, &message).await? {
                Quietly::Answered(answer) => Ok(Some(*answer)),
                Quietly::Known(presented) => {
                    let metrics = &self.api.options.metrics;
                    let Ok(_place) =
                        self.api.device_limits.place(&presented, &message, OF_SOCKET, metrics).await
                    else {
                        let (message, _) = unavailable(message.instance_uid.clone());
                        return Ok(Some(Answer { message, device: None }));
                    };
                    engine.answer_device(presented, &self.token, &self.link, &message).await.map(Some)
                }
                Quietly::Unknown => Ok(None),
            }
        };
        let answer = match answered.await {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                return Err(End { code: close_code::POLICY, why: "the credential is not valid any more" });
            }
            Err(error) => {
                tracing::error!(%error, "A device could not be answered");
                let (refusal, _) = unavailable(message.instance_uid);
                return self.say(socket, &refusal).await;
            }
        };
        if let (Some(device), Ok(uid)) = (answer.device, message.uid()) {
            let known = self.device.take().filter(|(connection, _)| connection.device() == device);
            let connection =
                known.map_or_else(|| self.api.engine.device_connected(device), |(connection, _)| connection);
            self.device = Some((connection, uid));
        }
        self.say(socket, &answer.message).await?;
        if message.agent_disconnect.is_some() { Err(GONE) } else { Ok(()) }
    }

    /// Says what waits for the device, unasked.
    async fn speak(&self, socket: &mut WebSocket, full: bool) -> Result<(), End> {
        let Some((connection, uid)) = &self.device else { return Ok(()) };
        match self.api.engine.authenticate_device(&self.token).await {
            Ok(Some(_)) => {}
            Ok(None) => {
                return Err(End { code: close_code::POLICY, why: "the credential is not valid any more" });
            }
            Err(error) => {
                tracing::error!(%error, "A device could not be looked up; it is served at its next message");
                return Ok(());
            }
        }
        match self.api.engine.speak_to_device(connection.device(), *uid, full).await {
            Ok(Some(message)) => self.say(socket, &message).await,
            Ok(None) => Ok(()),
            Err(error) => {
                tracing::error!(%error, "A device could not be told something; it is at its next message");
                Ok(())
            }
        }
    }

    async fn say(&self, socket: &mut WebSocket, message: &ServerToAgent) -> Result<(), End> {
        let frame = encode(message, self.limit).map_err(|error| {
            tracing::error!(%error, "What a device was to be told is over the limit");
            End { code: close_code::ERROR, why: "the answer is too large" }
        })?;
        socket.send(Message::Binary(frame.into())).await.map_err(|_| GONE)
    }
}

async fn woken(wake: Option<Arc<Wake>>) -> bool {
    match wake {
        Some(wake) => wake.woken().await,
        None => std::future::pending().await,
    }
}
