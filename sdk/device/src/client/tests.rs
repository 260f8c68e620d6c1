//! The conversation, with lost answers and repeated items.

use syncline_protocol::{
    items::{Notice, SyncRequest},
    opamp::{
        ErrorDetails, RetryInfo, ServerErrorResponse, ServerErrorResponseType, ServerToAgent,
        ServerToAgentFlags,
    },
};

use super::*;

fn client() -> Client {
    let mut next = 0_u8;
    let draw = move || {
        next += 1;
        [next; 16]
    };
    let hello = Hello { run_id: vec![1; 16], ..Hello::default() };
    let mut client = Client::new(Clock::new(|| 5), Box::new(draw), hello, AgentDescription::default());
    client.connected();
    client
}

fn items(message: &AgentToServer) -> Items {
    let custom = message.custom_message.as_ref();
    custom.map(|custom| Items::from_custom(custom, usize::MAX).unwrap().unwrap()).unwrap_or_default()
}

fn answer(items: &Items) -> ServerToAgent {
    ServerToAgent {
        custom_capabilities: Some(CustomCapabilities { capabilities: vec![CAPABILITY.to_owned()] }),
        custom_message: Some(items.to_custom()),
        ..ServerToAgent::default()
    }
}

#[test]
fn the_first_message_says_all_and_the_next_ones_what_changed() {
    let mut client = client();
    let first = client.message().unwrap();
    assert_eq!((first.sequence_num, first.capabilities), (1, CAPABILITIES.into()));
    assert!(first.agent_description.is_some() && first.custom_capabilities.is_some());
    assert!(first.custom_message.is_none(), "it is not known yet whether the server has our capability");
    client.receive(answer(&Items::default()));
    let second = client.message().unwrap();
    assert!(matches!(items(&second).items[0].body, Some(Body::Hello(_))));
    assert!(second.agent_description.is_none());
    assert_eq!(client.message(), None);
    let heartbeat = client.heartbeat();
    assert_eq!(
        (heartbeat.sequence_num, heartbeat.agent_description, heartbeat.custom_message),
        (3, None, None)
    );
}

#[test]
fn what_was_not_answered_is_said_again() {
    let mut client = client();
    client.message().unwrap();
    client.connected();
    let again = client.message().unwrap();
    assert!(again.agent_description.is_some() && again.sequence_num == 2);
    client.receive(answer(&Items::default()));
    client.connected();
    assert!(client.message().unwrap().agent_description.is_none());
}

#[test]
fn items_are_said_on_each_connection_until_they_are_acknowledged() {
    let mut client = client();
    client.receive(answer(&Items::default()));
    let item = client.item(Body::Notice(Notice::default()));
    client.queue(item.clone());
    client.queue(item.clone());
    assert_eq!(items(&client.message().unwrap()).items.len(), 2, "who speaks, and the notice");
    client.connected();
    assert_eq!(items(&client.message().unwrap()).items[1], item);
    let received = Items { items: Vec::new(), received: vec![item.id.clone()] };
    let todos = client.receive(answer(&received));
    assert!(todos.contains(&Todo::Acknowledged { ids: vec![item.parsed_id().unwrap()], report: false }));
    client.connected();
    assert_eq!(items(&client.message().unwrap()).items.len(), 1);
}

#[test]
fn an_item_that_comes_again_is_acknowledged_again_and_not_done_again() {
    let mut client = client();
    let id = Id::new([9; 16]);
    let request = SyncRequest { sync_id: vec![3; 16], reason: String::new() };
    let said =
        Items { items: vec![Item::new(id, 1, Body::SyncRequest(request.clone()))], received: Vec::new() };
    assert_eq!(client.receive(answer(&said)), [Todo::Accepted, Todo::Sync(id, request.clone())]);
    assert_eq!(client.receive(answer(&said)), [Todo::Accepted, Todo::Sync(id, request)], "not stored yet");
    client.acknowledge(id);
    assert_eq!(items(&client.message().unwrap()).received, [id.to_vec()]);
    assert_eq!(client.receive(answer(&said)), [Todo::Accepted]);
    assert_eq!(items(&client.message().unwrap()).received, [id.to_vec()]);
}

#[test]
fn an_item_from_the_future_is_acknowledged() {
    let mut client = client();
    let said = Items { items: vec![Item { id: vec![4; 16], ..Item::default() }], received: Vec::new() };
    client.receive(answer(&said));
    assert_eq!(items(&client.message().unwrap()).received, [vec![4; 16]]);
}

#[test]
fn full_state_is_said_when_asked_for() {
    let mut client = client();
    client.message().unwrap();
    client.receive(answer(&Items::default()));
    client.message().unwrap();
    let flags = ServerToAgentFlags::REPORT_FULL_STATE.into();
    let todos = client.receive(ServerToAgent { flags, ..ServerToAgent::default() });
    assert!(todos.contains(&Todo::Look));
    let full = client.message().unwrap();
    assert!(full.agent_description.is_some() && full.effective_config.is_some());
    assert!(matches!(items(&full).items[0].body, Some(Body::Applications(_))));
}

#[test]
fn only_the_last_report_is_kept() {
    let mut client = client();
    client.receive(answer(&Items::default()));
    client.message().unwrap();
    for _ in 0..3 {
        client.report_applications();
    }
    assert_eq!(items(&client.message().unwrap()).items.len(), 1);
}

#[test]
fn a_server_with_too_much_to_do_is_left_alone_as_long_as_it_says() {
    let mut client = client();
    client.message().unwrap();
    let details = Some(ErrorDetails::RetryInfo(RetryInfo { retry_after_nanoseconds: 40_000_000_000 }));
    let error = ServerErrorResponse {
        kind: ServerErrorResponseType::Unavailable.into(),
        details,
        ..Default::default()
    };
    let said = ServerToAgent { error_response: Some(error), ..ServerToAgent::default() };
    assert_eq!(client.receive(said), [Todo::Later(Some(std::time::Duration::from_secs(40)))]);
    assert!(client.message().unwrap().agent_description.is_some(), "nothing of it was taken");
}

#[test]
fn an_answer_for_another_process_is_not_ours() {
    let mut client = client();
    let said = ServerToAgent { instance_uid: vec![99; 16], ..ServerToAgent::default() };
    assert!(matches!(client.receive(said).as_slice(), [Todo::Rejected(_)]));
}
