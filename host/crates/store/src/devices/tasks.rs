//! Tasks: at most once on each device. Sent again until the device answers; its journal sees to it that it runs once.

use jiff::Timestamp;
use serde_json::json;
use syncline_domain::{
    Name,
    device::task::{DeviceTask, OpenTask, Task, TaskCounts, TaskState},
    event::NewEvent,
    ids::{DeviceId, TaskId},
};

use crate::{
    db::Db,
    dialect::{Session, sql},
    error::{Error, OrNotFound, Result},
    page::{Listed, Page},
    row::Row,
};

/// Tasks with the counts of their devices; the rest of the statement follows.
const SELECT: &str = "SELECT id, action, parameters, actor, created_at, expires_at,
    (SELECT COUNT(*) FROM device_tasks WHERE task = id AND state = 'waiting') AS waiting,
    (SELECT COUNT(*) FROM device_tasks WHERE task = id AND state = 'sent') AS sent,
    (SELECT COUNT(*) FROM device_tasks WHERE task = id AND state = 'succeeded') AS succeeded,
    (SELECT COUNT(*) FROM device_tasks WHERE task = id AND state = 'failed') AS failed,
    (SELECT COUNT(*) FROM device_tasks WHERE task = id AND state = 'expired') AS expired
    FROM tasks WHERE ";

/// A task to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// The action, as the devices have configured it.
    pub action: Name,
    /// What it is given.
    pub parameters: serde_json::Value,
    /// Devices that have not begun by then do not run it.
    pub expires_at: Option<Timestamp>,
}

/// What a device said of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskAnswer {
    /// The action.
    pub action: Name,
    /// Whether it is the first answer, which counts; devices repeat theirs until it is acknowledged.
    pub news: bool,
}

/// Rows in one statement.
const BATCH: usize = 10_000;

impl Db {
    /// Makes a task for these devices, where a text says why one cannot take it: there it has failed. Devices that are not there
    /// are passed over.
    pub async fn add_task(
        &self,
        new: &NewTask,
        devices: &[(DeviceId, Option<String>)],
        event: NewEvent,
    ) -> Result<Task> {
        let (id, now) = (TaskId::new(self.now()), self.now());
        let mut tx = self.begin().await?;
        let query = sql("INSERT INTO tasks (id, action, parameters, actor, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6)");
        let query = query.bind(id).bind(&new.action).bind_json(&new.parameters).bind(&event.actor);
        query.bind(now).bind(new.expires_at).execute(&mut tx).await?;
        for batch in devices.chunks(BATCH) {
            let ids: Vec<_> = batch.iter().map(|(id, why)| json!({ "id": id, "why": why })).collect();
            let query = sql("INSERT INTO device_tasks (task, device, state, outcome, at)
                SELECT $2, d.id, CASE WHEN item.value ->> 'why' IS NULL THEN 'waiting' ELSE 'failed' END,
                    item.value ->> 'why', CAST($3 AS BIGINT)
                FROM {each} JOIN devices d ON d.id = item.value ->> 'id' WHERE TRUE
                ON CONFLICT (task, device) DO NOTHING");
            query.bind_json(&ids).bind(id).bind(now).execute(&mut tx).await?;
        }
        let added = find(&mut tx, id).await?;
        tx.event(event);
        tx.commit().await?;
        Ok(added)
    }

    /// The task of this id.
    pub async fn task(&self, id: TaskId) -> Result<Task> {
        find(&mut self.read().await?, id).await
    }

    /// Tasks, newest first.
    pub async fn tasks(&self, page: &Page) -> Result<Listed<Task>> {
        let query = sql(SELECT)
            .push("TRUE")
            .push_some(" AND id < $?", page.position::<TaskId>()?)
            .push_with(" ORDER BY id DESC LIMIT $?", page.one_more());
        let rows = query.rows(&mut self.read().await?).await?;
        let found = rows.iter().map(parse).collect::<Result<Vec<_>>>()?;
        Ok(Listed::cut(found, page, |task| task.id.to_string()))
    }

    /// A task's devices: all, or those in one state.
    pub async fn task_devices(
        &self,
        task: TaskId,
        state: Option<TaskState>,
        page: &Page,
    ) -> Result<Listed<DeviceTask>> {
        let query = sql("SELECT task, device, state, outcome, at FROM device_tasks WHERE task = $1")
            .bind(task)
            .push_some(" AND state = $?", state.map(TaskState::as_str))
            .push_some(" AND device > $?", page.position::<DeviceId>()?)
            .push_with(" ORDER BY device LIMIT $?", page.one_more());
        let rows = query.rows(&mut self.read().await?).await?;
        let found = rows.iter().map(parse_device).collect::<Result<Vec<_>>>()?;
        Ok(Listed::cut(found, page, |one| one.device.to_string()))
    }

    /// The tasks that a device has not answered and whose time is not over, oldest first.
    pub async fn open_tasks_of(&self, device: DeviceId, limit: u32) -> Result<Vec<OpenTask>> {
        let query = sql("SELECT t.id, t.action, t.parameters, t.expires_at, dt.state
            FROM device_tasks dt JOIN tasks t ON t.id = dt.task
            WHERE dt.device = $1 AND dt.state IN ('waiting', 'sent') AND (t.expires_at IS NULL OR t.expires_at > $2)
            ORDER BY dt.task LIMIT $3");
        let query = query.bind(device).bind(self.now()).bind(limit);
        query.rows(&mut self.read().await?).await?.iter().map(parse_open).collect()
    }

    /// These were sent to a device. Gives how many were for the first time.
    pub async fn mark_tasks_sent(&self, device: DeviceId, tasks: &[TaskId]) -> Result<u64> {
        let ids: Vec<_> = tasks.iter().map(|id| json!({ "id": id })).collect();
        let query = sql("UPDATE device_tasks SET state = 'sent', at = $3
            WHERE device = $2 AND state = 'waiting' AND task IN (SELECT item.value ->> 'id' FROM {each})");
        let query = query.bind_json(&ids).bind(device).bind(self.now());
        query.execute(&mut self.write_once().await?).await
    }

    /// What came out of a task on a device, where `state` is an end. The first answer counts. [`Error::NotFound`] if the device
    /// never had the task.
    pub async fn set_task_outcome(
        &self,
        device: DeviceId,
        task: TaskId,
        state: TaskState,
        outcome: &str,
    ) -> Result<TaskAnswer> {
        let mut tx = self.begin().await?;
        let query = sql("SELECT task, device, state, outcome, at FROM device_tasks
            WHERE task = $1 AND device = $2 {for update}");
        let row =
            query.bind(task).bind(device).row(&mut tx).await?.or_not_found("task of this device", task)?;
        // One that was given up here may have run there all the same: then that is what happened.
        let before = parse_device(&row)?.state;
        let row = sql("SELECT id, action FROM tasks WHERE id = $1").bind(task).row(&mut tx).await?;
        let action = row.or_not_found("task", task)?.of("tasks", "id").parse("action")?;
        if matches!(before, TaskState::Succeeded | TaskState::Failed) || before == state {
            return Ok(TaskAnswer { action, news: false });
        }
        let query = sql("UPDATE device_tasks SET state = $3, outcome = $4, at = $5
            WHERE task = $1 AND device = $2 AND state NOT IN ('succeeded', 'failed')");
        let query = query.bind(task).bind(device).bind(state.as_str()).bind(outcome).bind(self.now());
        if query.execute(&mut tx).await? != 1 {
            return Err(Error::Stale { what: "task", name: task.to_string() });
        }
        tx.commit().await?;
        Ok(TaskAnswer { action, news: true })
    }

    /// Gives up, on each device, the tasks whose time is over. Gives how many.
    pub async fn expire_tasks(&self) -> Result<u64> {
        let query = sql("UPDATE device_tasks SET state = 'expired', at = $1
            WHERE state IN ('waiting', 'sent') AND task IN (SELECT id FROM tasks WHERE expires_at <= $1)");
        query.bind(self.now()).execute(&mut self.write_once().await?).await
    }
}

async fn find(session: &mut Session, id: TaskId) -> Result<Task> {
    parse(&sql(SELECT).push("id = $1").bind(id).row(session).await?.or_not_found("task", id)?)
}

fn parse(row: &Row) -> Result<Task> {
    let row = row.of("tasks", "id");
    Ok(Task {
        id: row.parse("id")?,
        action: row.parse("action")?,
        parameters: row.json("parameters")?,
        actor: row.get("actor")?,
        created_at: row.time("created_at")?,
        expires_at: row.time_opt("expires_at")?,
        counts: TaskCounts {
            waiting: row.unsigned("waiting")?,
            sent: row.unsigned("sent")?,
            succeeded: row.unsigned("succeeded")?,
            failed: row.unsigned("failed")?,
            expired: row.unsigned("expired")?,
        },
    })
}

fn parse_open(row: &Row) -> Result<OpenTask> {
    let row = row.of("tasks", "id");
    let state: TaskState = row.word("state")?;
    Ok(OpenTask {
        id: row.parse("id")?,
        action: row.parse("action")?,
        parameters: row.json("parameters")?,
        expires_at: row.time_opt("expires_at")?,
        sent: state == TaskState::Sent,
    })
}

fn parse_device(row: &Row) -> Result<DeviceTask> {
    let row = row.of("device_tasks", "task");
    Ok(DeviceTask {
        task: row.parse("task")?,
        device: row.parse("device")?,
        state: row.word("state")?,
        outcome: row.get("outcome")?,
        at: row.time("at")?,
    })
}
