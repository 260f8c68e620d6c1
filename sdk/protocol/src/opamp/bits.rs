//! The bits of capabilities and flags.

use std::ops::BitOr;

/// Bits of a field: what one can ask of each kind.
macro_rules! bits {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $bit:ident = $value:expr;)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub struct $name(
            /// As the field of the message has them.
            pub u64,
        );

        impl $name {
            $($(#[$doc])* pub const $bit: Self = Self($value);)*

            /// Every bit that is defined. The others must be 0 when sent.
            pub const DEFINED: Self = Self($($value)|*);

            /// Whether all of these are set.
            pub const fn contains(self, all: Self) -> bool {
                self.0 & all.0 == all.0
            }

            /// Without the bits that are not defined.
            pub const fn defined(self) -> Self {
                Self(self.0 & Self::DEFINED.0)
            }

            /// These and those; for constants, where `|` cannot be used.
            pub const fn with(self, those: Self) -> Self {
                Self(self.0 | those.0)
            }
        }

        impl BitOr for $name {
            type Output = Self;

            fn bitor(self, those: Self) -> Self {
                self.with(those)
            }
        }

        impl From<$name> for u64 {
            fn from(bits: $name) -> Self {
                bits.0
            }
        }
    };
}

bits! {
    /// What an agent can do (section "AgentToServer.capabilities").
    AgentCapabilities {
        /// Reports its status: every agent has it.
        REPORTS_STATUS = 0x0001;
        /// Takes configuration from the server.
        ACCEPTS_REMOTE_CONFIG = 0x0002;
        /// Reports the configuration that is in use.
        REPORTS_EFFECTIVE_CONFIG = 0x0004;
        /// Takes packages. Beta.
        ACCEPTS_PACKAGES = 0x0008;
        /// Reports the status of packages. Beta.
        REPORTS_PACKAGE_STATUSES = 0x0010;
        /// Sends traces of its own where it is told. Beta.
        REPORTS_OWN_TRACES = 0x0020;
        /// Sends metrics of its own where it is told. Beta.
        REPORTS_OWN_METRICS = 0x0040;
        /// Sends logs of its own where it is told. Beta.
        REPORTS_OWN_LOGS = 0x0080;
        /// Takes settings, and so credentials, for its connection to the server. Beta.
        ACCEPTS_OPAMP_CONNECTION_SETTINGS = 0x0100;
        /// Takes settings for other connections. Beta.
        ACCEPTS_OTHER_CONNECTION_SETTINGS = 0x0200;
        /// Starts anew on command. Beta.
        ACCEPTS_RESTART_COMMAND = 0x0400;
        /// Reports its health.
        REPORTS_HEALTH = 0x0800;
        /// Reports what became of configuration that was offered.
        REPORTS_REMOTE_CONFIG = 0x1000;
        /// Sends something at least once an interval. Development.
        REPORTS_HEARTBEAT = 0x2000;
        /// Reports which components it has. Development.
        REPORTS_AVAILABLE_COMPONENTS = 0x4000;
        /// Reports what became of connection settings that were offered. Development.
        REPORTS_CONNECTION_SETTINGS_STATUS = 0x8000;
    }
}

bits! {
    /// What a server can do (section "ServerToAgent.capabilities").
    ServerCapabilities {
        /// Takes status: every server has it.
        ACCEPTS_STATUS = 0x01;
        /// Offers configuration.
        OFFERS_REMOTE_CONFIG = 0x02;
        /// Takes the configuration that an agent has in use.
        ACCEPTS_EFFECTIVE_CONFIG = 0x04;
        /// Offers packages. Beta.
        OFFERS_PACKAGES = 0x08;
        /// Takes the status of packages. Beta.
        ACCEPTS_PACKAGES_STATUS = 0x10;
        /// Offers connection settings. Beta.
        OFFERS_CONNECTION_SETTINGS = 0x20;
        /// Takes requests for connection settings and answers with an offer. Development.
        ACCEPTS_CONNECTION_SETTINGS_REQUEST = 0x40;
    }
}

bits! {
    /// What an agent asks for beside its message (section "AgentToServer.flags").
    AgentToServerFlags {
        /// Asks the server to make it a uid.
        REQUEST_INSTANCE_UID = 0x1;
    }
}

bits! {
    /// What a server asks for beside its message (section "ServerToAgent.flags").
    ServerToAgentFlags {
        /// Asks for everything, changed or not.
        REPORT_FULL_STATE = 0x1;
        /// Asks for the components, of which only the hash was sent. Development.
        REPORT_AVAILABLE_COMPONENTS = 0x2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_asked_for_must_be_there() {
        let node = AgentCapabilities(0x3003);
        assert!(node.contains(AgentCapabilities::REPORTS_STATUS | AgentCapabilities::ACCEPTS_REMOTE_CONFIG));
        assert!(node.contains(AgentCapabilities::REPORTS_HEARTBEAT));
        let both = AgentCapabilities::REPORTS_STATUS | AgentCapabilities::REPORTS_EFFECTIVE_CONFIG;
        assert!(!node.contains(both));
    }

    #[test]
    fn reserved_bits_can_be_taken_off() {
        assert_eq!(AgentCapabilities::DEFINED.0, 0xffff);
        assert_eq!(ServerCapabilities::DEFINED.0, 0x7f);
        assert_eq!(ServerCapabilities(u64::MAX).defined(), ServerCapabilities::DEFINED);
        assert_eq!(AgentToServerFlags(6).defined(), AgentToServerFlags(0));
        assert_eq!(ServerToAgentFlags(6).defined(), ServerToAgentFlags::REPORT_AVAILABLE_COMPONENTS);
    }
}
