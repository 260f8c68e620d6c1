//! Tasks on their way to one device, and what became of them.

use serde_json::json;
use syncline_domain::{
    device::{
        message::{Direction, MessageOutcome, TASK, TASK_RESULT},
        task::{OpenTask, TaskState},
    },
    ids::{MessageId, TaskId},
};
use syncline_protocol::items::{Body, Id, Item, Task, TaskOutcome, TaskResult};
use syncline_store::Error as StoreError;
use uuid::Uuid;

use super::{
    Turn,
    items::{MOST_TEXT, MOST_TITLE, first, unix_ms},
    log::Entry,
};
use crate::{
    Engine, Result,
    devices::tasks::{CANNOT, cannot},
};

/// Tasks that are sent in one answer: the rest goes out when these are answered.
const MOST: u32 = 16;

impl Engine {
    /// The tasks that the device has not answered, as items. They are sent again until it does: its journal sees to it that each
    /// runs once.
    pub(super) async fn tasks_for(&self, turn: &Turn<'_>) -> Result<Vec<Item>> {
        let open = self.db().open_tasks_of(turn.device.id, MOST).await?;
        let new: Vec<_> = open.iter().filter(|task| !task.sent).collect();
        if !new.is_empty() {
            let ids: Vec<_> = new.iter().map(|task| task.id).collect();
            self.db().mark_tasks_sent(turn.device.id, &ids).await?;
        }
        for task in new {
            self.log(
                turn,
                Entry {
                    id: MessageId(task.id.0),
                    direction: Direction::ToDevice,
                    kind: TASK,
                    summary: format!("Run {}", task.action),
                    details: json!({
                        "task": task.id, "action": task.action, "parameters": task.parameters,
                        "expires_at": task.expires_at,
                    }),
                    outcome: MessageOutcome::Sent,
                },
            )
            .await?;
        }
        Ok(open.iter().map(|task| item(task, turn)).collect())
    }

    /// A device that has said what it can do, and takes no tasks, has none.
    pub(super) async fn refuse_tasks(&self, turn: &Turn<'_>) -> Result<()> {
        if !cannot(&turn.device) {
            return Ok(());
        }
        for task in self.db().open_tasks_of(turn.device.id, MOST).await? {
            self.db().set_task_outcome(turn.device.id, task.id, TaskState::Failed, CANNOT).await?;
        }
        Ok(())
    }

    /// What the device says of a task.
    pub(super) async fn take_task_result(&self, turn: &Turn<'_>, result: &TaskResult) -> Result<()> {
        let Ok(id) = Id::try_from(result.task_id.as_slice()) else { return Ok(()) };
        let task = TaskId(Uuid::from(id));
        let (state, told) = read(result);
        let (summary, outcome) = match self.db().set_task_outcome(turn.device.id, task, state, &told).await {
            Ok(answer) => (format!("{}: {state}", answer.action), MessageOutcome::Received),
            Err(StoreError::NotFound { .. }) => {
                ("The result of a task that this device never had".to_owned(), MessageOutcome::Failed)
            }
            Err(error) => return Err(error.into()),
        };
        self.log(
            turn,
            Entry {
                // The item has the id of the task in our agent, and the task was a message itself.
                id: MessageId(task.0).answer(),
                direction: Direction::FromDevice,
                kind: TASK_RESULT,
                summary: first(&summary, MOST_TITLE),
                details: json!({ "task": task, "state": state, "outcome": told }),
                outcome,
            },
        )
        .await
        .map(drop)
    }
}

fn item(task: &OpenTask, turn: &Turn<'_>) -> Item {
    let id = Id::from(task.id.0);
    // 0 would be any time.
    let left =
        |at: jiff::Timestamp| at.duration_since(turn.now).as_millis().max(1).try_into().unwrap_or(u64::MAX);
    let body = Task {
        task_id: id.to_vec(),
        action: task.action.to_string(),
        parameters: if task.parameters.is_null() { String::new() } else { task.parameters.to_string() },
        expires_in_ms: task.expires_at.map_or(0, left),
    };
    Item::new(id, unix_ms(turn.now), Body::Task(body))
}

/// The end of a task, and what is told of it.
fn read(result: &TaskResult) -> (TaskState, String) {
    let text = first(&result.text, MOST_TEXT);
    let or = |instead: &str| if text.is_empty() { instead.to_owned() } else { text.clone() };
    match result.outcome() {
        TaskOutcome::Succeeded => (TaskState::Succeeded, text),
        TaskOutcome::Failed => (TaskState::Failed, or("it failed, and the device does not say why")),
        TaskOutcome::Unsupported => {
            (TaskState::Failed, or("the device has no such action: configure it there"))
        }
        TaskOutcome::Expired => (TaskState::Expired, or("its time was over before the device began")),
        TaskOutcome::Unspecified => (TaskState::Failed, or("the device does not say what became of it")),
    }
}
