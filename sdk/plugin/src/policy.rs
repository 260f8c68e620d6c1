//! World `device-policy`: deciding what devices should hold.
//!
//! ```
//! use syncline_plugin::{json, prelude::*, serde_json::Value};
//!
//! struct Merge;
//!
//! impl DevicePolicy for Merge {
//!     type Settings = NoSettings;
//!
//!     fn decide(_: &NoSettings, device: &Device, application: &Application) -> Result<Verdict> {
//!         if application.layers.is_empty() {
//!             return Ok(Verdict::Withdrawn);
//!         }
//!         let mut merged = Default::default();
//!         for layer in &application.layers {
//!             json::merge_copied(&mut merged, &layer.settings);
//!         }
//!         if let Some(system) = device.facts.text("os.type") {
//!             merged.insert("system".to_owned(), Value::from(system));
//!         }
//!         Ok(Document::of(&merged)?.into())
//!     }
//! }
//!
//! syncline_plugin::export!(device-policy: Merge);
//! ```

mod answer;
mod request;

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{
    Failure,
    failure::Result,
    raw::{device_policy::exports::syncline::plugin::policy as raw, syncline::plugin::types},
    settings,
};

pub use answer::{Answer, Document, Origin, Provenance, Setting, Verdict};
pub use request::{Application, Device, Facts, Key, KeySet, Layer, User};

/// Decides what devices should hold.
///
/// Implement it for a type without content and hand that to [`export!`](crate::export): `export!(device-policy: Hello)`.
/// Implement [`decide`](Self::decide) where each application can be decided for by itself, or [`resolve`](Self::resolve)
/// where they depend on each other, with `whole_device = true` in `[package.metadata.syncline]`.
///
/// Pure: the same settings and request give the same answer, on any machine at any time. The host keeps answers, and asks
/// for one only where the input differs. So there is no clock and no randomness, and each call has a fresh instance.
pub trait DevicePolicy {
    /// What an administrator can set, as for [`FileSync`](crate::FileSync::Settings).
    type Settings: DeserializeOwned + JsonSchema;

    /// Decide for one application.
    ///
    /// # Errors
    ///
    /// The application keeps what it has on the device, and the failure is shown. The other applications are decided for.
    fn decide(settings: &Self::Settings, device: &Device, application: &Application) -> Result<Verdict> {
        let _ = (settings, device);
        let message =
            format!("the plugin decides nothing for `{}`: implement `decide` or `resolve`", application.name);
        Err(Failure::bug(message))
    }

    /// Decide for all applications asked about: one answer for each, in the same order. Unless implemented, asks
    /// [`decide`](Self::decide) for each.
    ///
    /// # Errors
    ///
    /// All applications keep what they have on the device, and the failure is shown.
    fn resolve(
        settings: &Self::Settings,
        device: &Device,
        applications: &[Application],
    ) -> Result<Vec<Answer>> {
        let answer = |application: &Application| Answer {
            application: application.name.clone(),
            verdict: Self::decide(settings, device, application).unwrap_or_else(Verdict::Failed),
        };
        Ok(applications.iter().map(answer).collect())
    }
}

/// Stands between the generated bindings and a plugin.
#[doc(hidden)]
#[derive(Debug)]
pub struct DevicePolicyAdapter<P>(PhantomData<P>);

impl<P: DevicePolicy + 'static> raw::Guest for DevicePolicyAdapter<P> {
    fn resolve(request: raw::Request) -> Result<Vec<raw::Answer>, types::Failure> {
        let settings = settings::load()?;
        let (device, applications) = request::lift(request)?;
        let answers = P::resolve(&settings, &device, &applications)?;
        Ok(answers.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::NoSettings;

    /// Decides for what has layers, fails for others.
    struct Picky;

    impl DevicePolicy for Picky {
        type Settings = NoSettings;

        fn decide(_: &NoSettings, _: &Device, application: &Application) -> Result<Verdict> {
            let layer = application.layers.last().ok_or_else(|| Failure::settings("nothing to go by"))?;
            Ok(Document::of(&layer.settings)?.into())
        }
    }

    /// Implements nothing.
    struct Empty;

    impl DevicePolicy for Empty {
        type Settings = NoSettings;
    }

    #[test]
    fn a_failure_for_one_application_is_none_for_the_others() {
        let applications =
            [Application::new("a", [json!({ "b": 1 })]), Application::new("b", [] as [serde_json::Value; 0])];
        let answers = Picky::resolve(&NoSettings {}, &Device::default(), &applications).unwrap();
        let Verdict::Document(document) = &answers[0].verdict else { panic!("{answers:?}") };
        assert_eq!(document.body(), br#"{"b":1}"#);
        assert!(matches!(&answers[1].verdict, Verdict::Failed(failure) if failure.code() == "settings"));
    }

    #[test]
    fn a_plugin_that_decides_nothing_says_so() {
        let applications = [Application::new("a", [json!({})])];
        let answers = Empty::resolve(&NoSettings {}, &Device::default(), &applications).unwrap();
        assert!(matches!(&answers[0].verdict, Verdict::Failed(failure) if failure.code() == "bug"));
    }
}
