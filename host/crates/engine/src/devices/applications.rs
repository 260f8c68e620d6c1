//! Applications: what is configured on devices.

use serde_json::Value;
use syncline_domain::{
    Name,
    device::{
        Publication,
        policy::{Application, ApplicationSpec},
    },
    event::NewEvent,
    plugin::{DEVICE_POLICY, DEVICES},
};

use crate::{Engine, Error, Result, settings};

/// Places that an answer names.
const PLACES: usize = 10;

impl Engine {
    /// Makes an application.
    pub async fn create_application(
        &self,
        name: &Name,
        spec: &ApplicationSpec,
        actor: &str,
    ) -> Result<Application> {
        if name.as_str() == DEVICES {
            let message = format!("an application cannot be called {DEVICES}: that stands for all devices");
            return Err(Error::invalid("application-name", message));
        }
        self.check_application(spec).await?;
        let event = NewEvent::new("application.created", actor, format!("Application {name} was made"));
        Ok(self.db().add_application(name, spec, event.plugin(&spec.plugin)).await?)
    }

    /// Changes an application, and publishes what devices should hold of it. `revision` is the one that the caller read.
    pub async fn change_application(
        &self,
        name: &Name,
        spec: ApplicationSpec,
        revision: Option<i64>,
        actor: &str,
    ) -> Result<Application> {
        self.check_application(&spec).await?;
        let mut application = self.db().application(name).await?;
        application.spec = spec;
        application.revision = revision.unwrap_or(application.revision);
        let event = NewEvent::new("application.changed", actor, format!("Application {name} was changed"));
        let changed = self.db().update_application(&application, event).await?;
        self.publish_change(Publication { application: Some(name.clone()), ..Publication::default() }, actor)
            .await?;
        Ok(changed)
    }

    /// Removes an application. Refused while it has policies, or a device holds a document of it.
    pub async fn remove_application(&self, name: &Name, actor: &str) -> Result<()> {
        let event = NewEvent::new("application.removed", actor, format!("Application {name} was removed"));
        Ok(self.db().remove_application(name, event).await?)
    }

    async fn check_application(&self, spec: &ApplicationSpec) -> Result<()> {
        let plugin = self.plugin(&spec.plugin).await.map_err(|error| match error {
            Error::NotFound { name, .. } => Error::invalid(
                "application-plugin",
                format!("there is no plugin {name:?}: install it first, or name another"),
            ),
            other => other,
        })?;
        if plugin.world != DEVICE_POLICY {
            let message = format!(
                "plugin {} is of the world {}: an application needs one of the world {DEVICE_POLICY}",
                plugin.name, plugin.world
            );
            return Err(Error::invalid("application-plugin", message));
        }
        if let Some(schema) = &spec.schema {
            settings::check_any_schema(schema)
                .map_err(|why| Error::invalid("application-schema", format!("the schema: {why}")))?;
        }
        if !spec.defaults.is_object() {
            let message = "defaults are a JSON object, such as {}";
            return Err(Error::invalid("application-defaults", message));
        }
        check_settings(spec.schema.as_ref(), &spec.defaults, "application-defaults")
    }
}

/// Checks one layer of settings by the application's schema. Layers are parts of a whole: what is required can stand in
/// another.
pub(super) fn check_settings(schema: Option<&Value>, settings: &Value, code: &'static str) -> Result<()> {
    let Some(schema) = schema else { return Ok(()) };
    let validator = jsonschema::validator_for(schema)
        .map_err(|error| Error::invalid("application-schema", format!("the schema is none: {error}")))?;
    let required = |error: &jsonschema::ValidationError<'_>| {
        matches!(error.kind(), jsonschema::error::ValidationErrorKind::Required { .. })
    };
    let places: Vec<String> = validator
        .iter_errors(settings)
        .filter(|error| !required(error))
        .take(PLACES)
        .map(|error| match error.instance_path().to_string() {
            all if all.is_empty() => error.to_string(),
            place => format!("{place}: {error}"),
        })
        .collect();
    if places.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(code, format!("settings do not fit the application's schema: {}", places.join("; "))))
}
