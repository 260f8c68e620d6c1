//! What the OpAMP specification (0.18) says that a server MUST do, by its sections; `transport.rs` has those about plain HTTP.

use axum::http::HeaderValue;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::json;
use syncline_protocol::{
    frame::{CLOSE_TOO_LARGE, decode, encode},
    opamp::{
        AgentCapabilities, AgentToServer, AgentToServerFlags, ConnectionSettingsStatus,
        ConnectionSettingsStatuses, RemoteConfigStatus, RemoteConfigStatuses, ServerCapabilities,
        ServerErrorResponseType, ServerToAgent,
    },
};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::frame::coding::CloseCode},
};

use super::agent::{Agent, FOREIGN, FULL_STATE, LIMIT, OURS, credential, documents, said};
use crate::harness::Server;

/// A connection with a token.
async fn socket(server: &Server, token: &str) -> Result<WebSocketStream<TcpStream>, Error> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = server.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let mut request = format!("ws://{address}/v1/opamp").into_client_request().unwrap();
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    request.headers_mut().insert("authorization", value);
    let stream = TcpStream::connect(address).await.unwrap();
    client_async(request, stream).await.map(|(socket, _)| socket)
}

async fn say(socket: &mut WebSocketStream<TcpStream>, message: &AgentToServer) -> ServerToAgent {
    socket.send(Message::Binary(encode(message, LIMIT).unwrap().into())).await.unwrap();
    hear(socket).await
}

async fn hear(socket: &mut WebSocketStream<TcpStream>) -> ServerToAgent {
    match socket.next().await.unwrap().unwrap() {
        Message::Binary(frame) => decode(&frame, LIMIT).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// With which code the server ends the connection.
async fn closed(socket: &mut WebSocketStream<TcpStream>) -> CloseCode {
    loop {
        match socket.next().await {
            Some(Ok(Message::Close(frame))) => return frame.unwrap().code,
            Some(Ok(_)) => {}
            other => panic!("ended without a word: {other:?}"),
        }
    }
}

/// Sections "WebSocket Message Format" and "WebSocket Transport": a header of zero before each message, both ways; each
/// is answered, and the server speaks unasked when there is something.
#[tokio::test]
async fn messages_over_websocket_have_a_header_and_the_server_speaks_first_too() {
    let server = Server::with_browser().await;
    let (_, token) = server.registered().await;
    let mut agent = Agent::new(&token, FOREIGN);
    let mut socket = socket(&server, &token).await.unwrap();
    let first = say(&mut socket, &agent.whole()).await;
    assert_eq!(first.instance_uid, agent.uid);
    server.with_policy(json!({ "home": "a" })).await;
    let unasked = hear(&mut socket).await;
    assert_eq!(documents(&unasked), json!({ "browser": { "home": "a" } }));

    let mut frame = encode(&agent.next(), LIMIT).unwrap();
    frame[0] = 1;
    socket.send(Message::Binary(frame.into())).await.unwrap();
    let refused = hear(&mut socket).await.error_response.unwrap();
    assert_eq!(refused.kind(), ServerErrorResponseType::BadRequest);
}

/// Section "WebSocket Message Size Limits": more than the limit is malformed, and ends the connection with code 1009.
#[tokio::test]
async fn a_message_that_is_too_large_ends_its_connection() {
    let server = Server::with_browser().await;
    let (_, token) = server.registered().await;
    let mut socket = socket(&server, &token).await.unwrap();
    // The connection can be closed while this is still being sent.
    let _ = socket.send(Message::Binary(vec![0; LIMIT + 2].into())).await;
    assert_eq!(u16::from(closed(&mut socket).await), CLOSE_TOO_LARGE);
}

/// Section "Closing Connection": the last word of an agent is answered by the end of the connection, with a close frame.
#[tokio::test]
async fn an_agent_that_takes_leave_is_let_go_with_a_close_frame() {
    let server = Server::with_browser().await;
    let (_, token) = server.registered().await;
    let mut agent = Agent::new(&token, FOREIGN);
    let mut socket = socket(&server, &token).await.unwrap();
    say(&mut socket, &agent.whole()).await;
    let leaving = AgentToServer { agent_disconnect: Some(Default::default()), ..agent.next() };
    say(&mut socket, &leaving).await;
    assert_eq!(closed(&mut socket).await, CloseCode::Normal);
}

/// Section "Authentication": 401 before any message is read.
#[tokio::test]
async fn an_unknown_token_gets_no_connection() {
    let server = Server::with_browser().await;
    match socket(&server, "nobody").await {
        Err(Error::Http(answer)) => assert_eq!(answer.status(), 401),
        other => panic!("{:?}", other.map(drop)),
    }
}

/// Sections "ServerToAgent.instance_uid", "ServerToAgent.capabilities", "Status Reporting": the uid as it came, the
/// capabilities in the first message, AcceptsStatus among them, no error where there is none, and an answer to each message.
#[tokio::test]
async fn every_message_is_answered_with_its_uid_and_what_the_server_can_do() {
    let server = Server::with_browser().await;
    let (_, token) = server.registered().await;
    let mut agent = Agent::new(&token, FOREIGN);
    for number in 0..3 {
        let message = if number == 0 { agent.whole() } else { agent.next() };
        let answer = agent.send(&server, &message).await;
        assert_eq!(answer.instance_uid, agent.uid);
        assert_eq!(answer.error_response, None);
        let can = ServerCapabilities(answer.capabilities);
        assert!(can.contains(ServerCapabilities::ACCEPTS_STATUS));
        assert!(ServerCapabilities::DEFINED.contains(can), "reserved bits are 0");
    }
}

/// Section "AgentToServer.capabilities": what an agent does not announce any more is not used.
/// Section "Configuration": no offer without AcceptsRemoteConfig.
#[tokio::test]
async fn what_an_agent_cannot_do_any_more_is_not_asked_of_it() {
    let server = Server::with_browser().await;
    server.with_policy(json!({ "home": "a" })).await;
    let (_, token) = server.registered().await;
    let mut agent = Agent::new(&token, FOREIGN);
    let message = agent.whole();
    documents(&agent.send(&server, &message).await);
    agent.can = AgentCapabilities::REPORTS_STATUS;
    server.with_policy(json!({ "home": "b" })).await;
    let message = agent.next();
    assert_eq!(agent.send(&server, &message).await.remote_config, None);
}

/// Section "AgentIdentification.new_instance_uid": 16 bytes, where the agent asks for it.
#[tokio::test]
async fn an_agent_that_wants_another_uid_is_given_one() {
    let server = Server::with_browser().await;
    let (_, token) = server.registered().await;
    let mut agent = Agent::new(&token, FOREIGN);
    let flags = AgentToServerFlags::REQUEST_INSTANCE_UID.0;
    let message = AgentToServer { flags, ..agent.whole() };
    let answer = agent.send(&server, &message).await;
    let uid = answer.agent_identification.unwrap().new_instance_uid;
    assert!(uid.len() == 16 && uid != agent.uid);
}

/// Section "Agent Status Compression": a gap in the numbers is answered with ReportFullState. Section "Retrying Messages": a
/// message that comes twice is answered twice.
#[tokio::test]
async fn gaps_are_asked_about_and_duplicates_answered() {
    let server = Server::with_browser().await;
    let (_, token) = server.registered().await;
    let mut agent = Agent::new(&token, FOREIGN);
    let message = agent.whole();
    agent.send(&server, &message).await;
    let again = agent.send(&server, &message).await;
    assert_eq!((again.flags, again.error_response), (0, None));
    agent.sequence += 1;
    let message = agent.next();
    assert_eq!(agent.send(&server, &message).await.flags, FULL_STATE);
}

/// Sections "RemoteConfigStatus.last_remote_config_hash" and "AgentRemoteConfig.config_hash": an agent that says it has something
/// else is offered what it should have, with a hash.
#[tokio::test]
async fn another_hash_than_the_servers_is_answered_with_the_offer() {
    let server = Server::with_browser().await;
    server.with_policy(json!({ "home": "a" })).await;
    let (_, token) = server.registered().await;
    let mut agent = Agent::new(&token, FOREIGN);
    let message = agent.whole();
    let offer = agent.send(&server, &message).await;
    agent.report(&server, &offer, RemoteConfigStatuses::Applied).await;
    let other = RemoteConfigStatus {
        last_remote_config_hash: b"other".to_vec(),
        status: RemoteConfigStatuses::Applied.into(),
        error_message: String::new(),
    };
    let message = AgentToServer { remote_config_status: Some(other), ..agent.next() };
    let again = agent.send(&server, &message).await.remote_config.unwrap();
    assert_eq!(again.config_hash, offer.remote_config.unwrap().config_hash);
    assert!(!again.config_hash.is_empty());
}

/// Sections "ConnectionSettingsStatus.last_connection_settings_hash" and "OpAMPConnectionSettings.destination_endpoint": the
/// same for connection settings, which always name an endpoint. The offer has the credential that the agent has.
#[tokio::test]
async fn another_hash_of_connection_settings_is_answered_with_the_offer() {
    let server = Server::with_browser().await;
    let token = server.enrolment_token(json!({ "group": "/" })).await;
    let (mut agent, _) = Agent::enrol(&server, &token, false).await;
    let status = |hash: &[u8]| ConnectionSettingsStatus {
        last_connection_settings_hash: hash.to_vec(),
        status: ConnectionSettingsStatuses::Applied.into(),
        error_message: String::new(),
    };
    let message = AgentToServer { connection_settings_status: Some(status(b"other")), ..agent.next() };
    let answer = agent.send(&server, &message).await;
    assert_eq!(credential(&answer), agent.token);
    let hash = answer.connection_settings.unwrap().hash;
    let message = AgentToServer { connection_settings_status: Some(status(&hash)), ..agent.next() };
    assert_eq!(agent.send(&server, &message).await.connection_settings, None);
}

/// A credential is rotated: after a month the device is offered another one, and the old one ends once that is in use.
#[tokio::test]
async fn an_old_credential_is_followed_by_a_new_one() {
    let server = Server::with_browser().await;
    let token = server.enrolment_token(json!({ "group": "/" })).await;
    let (mut agent, answer) = Agent::enrol(&server, &token, false).await;
    assert_eq!(answer.connection_settings, None);
    assert_eq!(agent.can, OURS);
    server.clock.forward(std::time::Duration::from_secs(31 * 86_400));
    let message = agent.next();
    let fresh = credential(&agent.send(&server, &message).await);
    assert_ne!(fresh, agent.token);
    let old = std::mem::replace(&mut agent.token, fresh);
    let message = agent.whole();
    assert_eq!(agent.send(&server, &message).await.connection_settings, None);
    agent.token = old;
    let message = agent.next();
    assert_eq!(agent.post(&server, &message).await.status, 401);
}

/// Section "Bad Request": what makes no sense is refused with BadRequest, and no part of it is taken.
#[tokio::test]
async fn an_item_that_cannot_be_read_is_a_bad_request() {
    let server = Server::with_browser().await;
    let token = server.enrolment_token(json!({ "group": "/" })).await;
    let (mut agent, _) = Agent::enrol(&server, &token, true).await;
    let mut message = agent.next();
    message.custom_message = Some(syncline_protocol::opamp::CustomMessage {
        capability: syncline_protocol::items::CAPABILITY.to_owned(),
        kind: syncline_protocol::items::Items::default().to_custom().kind,
        data: b"\xff\xff\xff".to_vec().into(),
    });
    let refused = said(&agent.post(&server, &message).await, 400).error_response.unwrap();
    assert_eq!(refused.kind(), ServerErrorResponseType::BadRequest);
}
