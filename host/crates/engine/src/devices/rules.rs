//! What decides the documents of devices, read once for many of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use syncline_domain::{
    Failure, Name,
    device::{
        Delivery, Device,
        policy::{Application, Layer, Place, Policy, Seat, layers_for},
        selection::{DeviceView, Selection},
        user::{KeySets, User, keys_in_force},
    },
    ids::DeviceId,
    plugin::{PluginState, PluginVersion},
    policy::{self, Asks},
};
use syncline_sandbox::Plugin;
use syncline_store::{Page, UserFilter};

use crate::{Engine, Result, settings};

/// A plugin that is ready to be asked.
pub(crate) struct Asked {
    pub version: PluginVersion,
    pub code: Plugin,
    pub settings: String,
    pub asks: Asks,
}

/// All that answers depend on beside the device.
pub(crate) struct Rules {
    /// By the plugin that they name, each sorted by name.
    pub applications: BTreeMap<Name, Vec<Application>>,
    pub policies: Vec<Policy>,
    selections: Vec<Selection>,
    plugins: BTreeMap<Name, Result<Asked, Failure>>,
    users: HashMap<DeviceId, Vec<policy::User>>,
    /// When users were read: a later change of one is not published by these rules.
    pub read_at: Timestamp,
    /// Users whose last change was not published yet, by device.
    pub changed_users: HashMap<DeviceId, Vec<syncline_domain::ids::UserId>>,
}

impl Rules {
    /// Reads what concerns an application, or all. `device`: only its users are read.
    pub async fn read(engine: &Engine, application: Option<&Name>, device: Option<DeviceId>) -> Result<Self> {
        let read_at = engine.clock().now();
        let mut all = engine.db().applications().await?;
        let policies = engine.db().policies(None).await?;
        let mut selections = engine.db().selections().await?;
        let used: BTreeSet<_> = policies.iter().filter_map(selection_of).collect();
        selections.retain(|selection| used.contains(&selection.name));
        let mut plugins = BTreeMap::new();
        for application in &all {
            let name = &application.spec.plugin;
            if !plugins.contains_key(name) {
                plugins.insert(name.clone(), engine.asked(name).await?);
            }
        }
        if let Some(name) = application {
            // A plugin that sees whole devices answers for all of its applications at once.
            let plugin = all.iter().find(|one| one.name == *name).map(|one| one.spec.plugin.clone());
            let whole = plugin.as_ref().and_then(|name| plugins.get(name)).and_then(|one| one.as_ref().ok());
            let whole = whole.is_some_and(|asked| asked.asks.whole_device);
            all.retain(|one| one.name == *name || (whole && Some(&one.spec.plugin) == plugin.as_ref()));
        }
        let mut applications: BTreeMap<Name, Vec<Application>> = BTreeMap::new();
        for application in all {
            applications.entry(application.spec.plugin.clone()).or_default().push(application);
        }
        let mut rules = Self {
            applications,
            policies,
            selections,
            plugins,
            users: HashMap::new(),
            read_at,
            changed_users: HashMap::new(),
        };
        rules.read_users(engine, device).await?;
        Ok(rules)
    }

    async fn read_users(&mut self, engine: &Engine, device: Option<DeviceId>) -> Result<()> {
        let groups = engine.db().groups().await?;
        let keys: HashMap<_, _> = groups.iter().map(|group| (&group.path, &group.keys)).collect();
        let filter = UserFilter { device, ..UserFilter::default() };
        let mut page = Page::first(Page::MAX);
        loop {
            let listed = engine.db().users(&filter, &page).await?;
            for user in listed.items {
                let Some(device) = user.device else { continue };
                if user.server_synced_at.is_none_or(|at| at < user.changed_at) {
                    self.changed_users.entry(device).or_default().push(user.id);
                }
                // Keys go with the subscription.
                if !user.signs(self.read_at).subscribed {
                    continue;
                }
                let above = user.group.ancestors();
                let inherited: Vec<&KeySets> =
                    above.iter().filter_map(|path| keys.get(path).copied()).collect();
                self.users.entry(device).or_default().push(as_asked(&user, &inherited));
            }
            let Some(next) = listed.next else { return Ok(()) };
            page.after = Some(next);
        }
    }

    /// An application, and the plugin that decides it.
    pub fn application(&self, name: &Name) -> Option<(&Name, &Application)> {
        let mut all =
            self.applications.iter().flat_map(|(plugin, all)| all.iter().map(move |one| (plugin, one)));
        all.find(|(_, one)| one.name == *name)
    }

    /// The plugin of this name, or why it cannot be asked.
    pub fn plugin(&self, name: &Name) -> Result<&Asked, Failure> {
        match self.plugins.get(name) {
            Some(Ok(asked)) => Ok(asked),
            Some(Err(failure)) => Err(failure.clone()),
            None => Err(Failure::host("plugin", format!("plugin {name} was not looked up"))),
        }
    }

    /// The selections that policies hold on and that a device is in.
    pub fn selections_of(
        &self,
        device: &Device,
        deliveries: &[(Name, Delivery)],
        now: Timestamp,
    ) -> BTreeSet<Name> {
        let view = DeviceView { device, deliveries };
        let holds = |selection: &&Selection| selection.condition.matches(&view, now);
        self.selections.iter().filter(holds).map(|selection| selection.name.clone()).collect()
    }

    /// The layers of an application in force on a device.
    pub fn layers<'a>(
        &'a self,
        application: &'a Application,
        device: &Device,
        selections: &BTreeSet<Name>,
    ) -> Vec<Layer<'a>> {
        let seat = Seat { device: device.id, group: &device.group, selections };
        layers_for(application, &self.policies, &seat)
    }

    /// Whether a device has users.
    pub fn has_users(&self, device: DeviceId) -> bool {
        self.users.contains_key(&device)
    }

    /// The users of a device, as plugins are given them.
    pub fn users_of(&self, device: DeviceId) -> Vec<policy::User> {
        self.users.get(&device).cloned().unwrap_or_default()
    }
}

fn selection_of(policy: &Policy) -> Option<Name> {
    match &policy.spec.place {
        Place::Selection { name, .. } => Some(name.clone()),
        Place::Group(_) | Place::Device(_) => None,
    }
}

fn as_asked(user: &User, inherited: &[&KeySets]) -> policy::User {
    let sets = keys_in_force(&user.keys, inherited).into_iter();
    let key_sets = sets.map(|(name, (keys, inherited))| policy::KeySet {
        inherited,
        keys: keys
            .iter()
            .map(|key| policy::Key {
                id: key.id.clone(),
                name: key.name.clone(),
                parameters: key.parameters.clone(),
            })
            .collect(),
        name: name.to_string(),
    });
    policy::User { key_sets: key_sets.collect(), name: user.name.clone() }
}

impl Engine {
    /// A plugin made ready; the inner error is one that is shown at the devices concerned.
    async fn asked(&self, name: &Name) -> Result<Result<Asked, Failure>> {
        let Some(version) = self.db().enabled_plugin(name).await? else {
            return Ok(Err(self.not_enabled(name).await?));
        };
        let set = self.policy_sync(name).await?.map(|sync| sync.spec.settings);
        let set = set.unwrap_or_else(|| serde_json::Value::Object(serde_json::Map::new()));
        let ready = async {
            settings::check(&version, &set)?;
            let settings = settings::text(&version.manifest, &set)?;
            Ok::<_, crate::Error>((self.load_plugin(&version.digest).await?, settings))
        };
        match ready.await {
            Ok((code, settings)) => {
                let asks = Asks::from(&version.manifest);
                Ok(Ok(Asked { version, code, settings, asks }))
            }
            Err(error @ crate::Error::Internal(_)) => Err(error),
            Err(error) => Ok(Err(error.into_failure())),
        }
    }

    async fn not_enabled(&self, name: &Name) -> Result<Failure> {
        let message = match self.plugin(name).await {
            Ok(PluginVersion { state: PluginState::Suspended, suspended: Some(why), .. }) => format!(
                "plugin {name} is suspended since it kept failing by its own fault ({why}): mend or roll it back, then \
                 enable it"
            ),
            Ok(_) => format!("plugin {name} is not enabled: an administrator has to enable it"),
            Err(crate::Error::NotFound { .. }) => {
                format!("there is no plugin {name}: an administrator has to install and enable it")
            }
            Err(error) => return Err(error),
        };
        Ok(Failure::denied("plugin-not-enabled", message))
    }
}
