//! Tasks: sent until they are answered, never after that.

use std::time::Duration;

use serde_json::{Value, json};
use syncline_protocol::{
    items::{Body, Id, Item, Task, TaskOutcome, TaskResult},
    opamp::{AgentToServer, ServerToAgent},
};

use super::agent::{Agent, FOREIGN, bodies, enrolled};
use crate::harness::{Server, request};

fn tasks(answer: &ServerToAgent) -> Vec<Task> {
    let all = bodies(answer).into_iter();
    all.filter_map(|body| if let Body::Task(task) = body { Some(task) } else { None }).collect()
}

fn result(task: &Task, outcome: TaskOutcome, text: &str) -> Item {
    let result = TaskResult { task_id: task.task_id.clone(), outcome: outcome.into(), text: text.to_owned() };
    // As our agent does: the result has the id of the task.
    let id = Id::try_from(task.task_id.as_slice()).unwrap();
    Item::new(id, 1, Body::TaskResult(result))
}

async fn come(server: &Server, agent: &mut Agent) -> ServerToAgent {
    let message = agent.next();
    agent.send(server, &message).await
}

/// The only device of a task.
async fn outcome(server: &Server, path: &str) -> Value {
    let list = server.get(&format!("{path}/devices")).await.is(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    list["items"][0].clone()
}

#[tokio::test]
async fn a_task_is_sent_until_it_is_answered_and_never_again() {
    let server = Server::with_browser().await;
    let (mut agent, _) = enrolled(&server, true).await;
    let device = server.device_id().await;
    let connection = server.engine.device_connected(device.parse().unwrap());
    let new = json!({
        "action": "logs", "parameters": { "lines": 5 }, "devices": [device], "expires_at": "2026-11-01T13:00:00Z",
    });
    server
        .send(request("POST", "/api/v1/tasks", &server.viewer, Some(new.clone())))
        .await
        .problem(403, "role");
    let made = server.send(request("POST", "/api/v1/tasks", &server.operator, Some(new))).await;
    assert_eq!(made.is(201)["counts"]["waiting"], 1);
    let path = made.header("location").to_owned();
    let wake = connection.wake();
    tokio::time::timeout(Duration::from_secs(30), wake.woken()).await.unwrap();

    let answer = come(&server, &mut agent).await;
    let [task] = &*tasks(&answer) else { panic!("{answer:?}") };
    assert_eq!((task.action.as_str(), task.parameters.as_str()), ("logs", "{\"lines\":5}"));
    assert!((1..=3_600_000).contains(&task.expires_in_ms), "{}", task.expires_in_ms);
    assert_eq!(server.get(&path).await.is(200)["counts"]["sent"], 1);
    let again = come(&server, &mut agent).await;
    let [same] = &*tasks(&again) else { panic!("{again:?}") };
    assert_eq!(same.task_id, task.task_id, "not answered yet");

    let done = result(task, TaskOutcome::Succeeded, "five lines");
    let answer = agent.say(&server, vec![done.clone()]).await;
    assert_eq!(tasks(&answer), []);
    agent.say(&server, vec![done, result(task, TaskOutcome::Failed, "other")]).await;
    assert_eq!(tasks(&come(&server, &mut agent).await), []);
    let told = outcome(&server, &path).await;
    assert_eq!((&told["state"], &told["outcome"]), (&json!("succeeded"), &json!("five lines")));
    assert_eq!(server.get("/api/v1/tasks").await.is(200)["items"][0]["counts"]["succeeded"], 1);
    let succeeded = server.get(&format!("{path}/devices?state=failed")).await.is(200);
    assert_eq!(succeeded["items"], json!([]));
    let told = server.told().await;
    assert_eq!(told, ["-> task: Run logs (sent)", "<- task-result: logs: succeeded (received)"]);
}

#[tokio::test]
async fn each_end_of_a_task_is_told() {
    let server = Server::with_browser().await;
    let (mut agent, _) = enrolled(&server, true).await;
    for (said, text, state, told) in [
        (TaskOutcome::Failed, "exit code 1", "failed", "exit code 1"),
        (TaskOutcome::Unsupported, "", "failed", "the device has no such action: configure it there"),
        (TaskOutcome::Expired, "", "expired", "its time was over before the device began"),
    ] {
        let made = server.post("/api/v1/tasks", json!({ "action": "logs", "group": "/" })).await;
        made.is(201);
        let answer = come(&server, &mut agent).await;
        let task = tasks(&answer).remove(0);
        assert_eq!((task.parameters.as_str(), task.expires_in_ms), ("", 0));
        agent.say(&server, vec![result(&task, said, text)]).await;
        let outcome = outcome(&server, made.header("location")).await;
        assert_eq!((&outcome["state"], &outcome["outcome"]), (&json!(state), &json!(told)));
    }
    let never = Task { task_id: vec![3; 16], ..Task::default() };
    let answer = agent.say(&server, vec![result(&never, TaskOutcome::Succeeded, "")]).await;
    assert!(answer.error_response.is_none(), "it is passed over");
}

#[tokio::test]
async fn a_task_whose_time_is_over_is_not_sent() {
    let server = Server::with_browser().await;
    let (mut agent, _) = enrolled(&server, true).await;
    let new = json!({ "action": "logs", "group": "/", "expires_at": "2026-11-01T13:00:00Z" });
    let made = server.post("/api/v1/tasks", new).await;
    server.clock.forward(Duration::from_secs(3_600));
    assert_eq!(tasks(&come(&server, &mut agent).await), []);
    server.engine.db().expire_tasks().await.unwrap();
    assert_eq!(outcome(&server, made.header("location")).await["state"], "expired");
}

#[tokio::test]
async fn devices_that_cannot_take_tasks_have_failed() {
    let server = Server::with_browser().await;
    let (path, token) = server.registered().await;
    let id = server.get(&path).await.is(200)["id"].clone();
    let new = json!({ "action": "logs", "devices": [id] });
    let before = server.post("/api/v1/tasks", new.clone()).await;
    assert_eq!(before.is(201)["counts"]["waiting"], 1, "who knows what comes");
    let mut agent = Agent::new(&token, FOREIGN);
    let message = agent.whole();
    agent.send(&server, &message).await;
    let after = server.post("/api/v1/tasks", new).await;
    for made in [before, after] {
        let told = outcome(&server, made.header("location")).await;
        assert_eq!(told["state"], "failed");
        assert!(told["outcome"].as_str().unwrap().contains("cannot take tasks"), "{told}");
    }
}

#[tokio::test]
async fn a_task_goes_to_a_selection_and_refuses_what_makes_no_sense() {
    let server = Server::with_browser().await;
    let linux = json!({ "name": "linux", "condition": { "fact": { "name": "os.type", "equals": "linux" } } });
    server.post("/api/v1/selections", linux).await.is(201);
    let (mut agent, _) = enrolled(&server, true).await;
    let made = server.post("/api/v1/tasks", json!({ "action": "logs", "selection": "linux" })).await.is(201);
    assert_eq!(made["counts"]["waiting"], 1);
    assert_eq!(tasks(&come(&server, &mut agent).await).len(), 1);
    let unknown = json!({ "action": "logs", "devices": ["00000000-0000-7000-8000-000000000000"] });
    for (bad, status, code) in [
        (unknown, 404, "not-found"),
        (json!({ "action": "logs" }), 422, "body"),
        (json!({ "action": "logs", "group": "/", "devices": [] }), 422, "body"),
        (json!({ "action": "logs", "devices": [] }), 422, "task-devices"),
        (json!({ "action": "Not A Name", "group": "/" }), 422, "body"),
        (json!({ "action": "logs", "group": "/nowhere" }), 404, "not-found"),
        (json!({ "action": "logs", "group": "/", "expires_at": "2026-01-01T00:00:00Z" }), 422, "task-expiry"),
        (json!({ "action": "logs", "group": "/", "parameters": "x".repeat(20_000) }), 422, "task-parameters"),
    ] {
        server.post("/api/v1/tasks", bad).await.problem(status, code);
    }
    let many: Vec<_> = (0..20).map(|_| json!({ "action": "logs", "group": "/" })).collect();
    for new in many {
        server.post("/api/v1/tasks", new).await.is(201);
    }
    let answer = come(&server, &mut agent).await;
    assert_eq!(tasks(&answer).len(), 16);
    let results = tasks(&answer).iter().map(|task| result(task, TaskOutcome::Succeeded, "")).collect();
    assert_eq!(tasks(&agent.say(&server, results).await).len(), 5, "the rest");
    let message = AgentToServer { sequence_num: 0, ..agent.next() };
    agent.send(&server, &message).await;
}
