//! What is usual for each kind of directory: which entries are what, and which attributes become what.

use crate::settings::Transform::{self, First, Lower, Trim};

/// Of one kind of directory.
#[derive(Debug)]
pub(crate) struct Defaults {
    pub(crate) identity: &'static str,
    pub(crate) people: KindDefaults,
    pub(crate) groups: KindDefaults,
    pub(crate) computers: KindDefaults,
    pub(crate) units: KindDefaults,
}

/// Of one kind of entry.
#[derive(Debug)]
pub(crate) struct KindDefaults {
    pub(crate) filter: &'static str,
    /// What an entry is called by: the first that is there.
    pub(crate) names: &'static [&'static str],
    /// Attributes that are needed beside those of the rules.
    pub(crate) extra: &'static [&'static str],
    pub(crate) rules: &'static [DefaultRule],
}

/// The platform's name, the directory's names of which the first is taken, and what is done to the values.
type DefaultRule = (&'static str, &'static [&'static str], &'static [Transform]);

const ADDRESS: &[Transform] = &[Trim, Lower, First];
const ONE: &[Transform] = &[Trim, First];

/// OpenLDAP, and whatever has the schemas of RFC 4519, RFC 2798 and RFC 2307.
pub(crate) static LDAP: Defaults = Defaults {
    identity: "entryUUID",
    people: KindDefaults {
        filter: "(objectClass=inetOrgPerson)",
        names: &["displayName", "cn", "uid"],
        extra: &["uid", "pwdAccountLockedTime", "nsAccountLock"],
        rules: &[
            ("department", &["departmentNumber", "ou"], ONE),
            ("description", &["description"], ONE),
            ("display-name", &["displayName", "cn"], ONE),
            ("email", &["mail"], ADDRESS),
            ("employee-id", &["employeeNumber"], ONE),
            ("family-name", &["sn"], ONE),
            ("given-name", &["givenName"], ONE),
            ("mobile", &["mobile"], ONE),
            ("phone", &["telephoneNumber"], ONE),
            ("title", &["title"], ONE),
            ("user-name", &["uid"], ONE),
        ],
    },
    groups: KindDefaults {
        filter: "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup))",
        names: &["cn"],
        extra: &["member", "uniqueMember", "memberUid"],
        rules: &[("description", &["description"], ONE), ("email", &["mail"], ADDRESS)],
    },
    computers: KindDefaults {
        filter: "(|(objectClass=device)(objectClass=ipHost))",
        names: &["cn"],
        extra: &[],
        rules: &[
            ("description", &["description"], ONE),
            ("host-name", &["cn"], ADDRESS),
            ("serial-number", &["serialNumber"], ONE),
        ],
    },
    units: KindDefaults {
        filter: "(objectClass=organizationalUnit)",
        names: &["ou"],
        extra: &[],
        rules: &[("description", &["description"], ONE)],
    },
};

/// Active Directory, and Samba as a domain controller.
pub(crate) static ACTIVE_DIRECTORY: Defaults = Defaults {
    identity: "objectGUID",
    people: KindDefaults {
        // The type keeps accounts of trusted domains out.
        filter: "(&(objectCategory=person)(objectClass=user)(sAMAccountType=805306368))",
        names: &["displayName", "name", "sAMAccountName"],
        extra: &["userAccountControl", "lockoutTime", "primaryGroupID", "objectSid"],
        rules: &[
            ("department", &["department"], ONE),
            ("description", &["description"], ONE),
            ("display-name", &["displayName"], ONE),
            ("email", &["mail"], ADDRESS),
            ("employee-id", &["employeeID", "employeeNumber"], ONE),
            ("family-name", &["sn"], ONE),
            ("given-name", &["givenName"], ONE),
            ("mobile", &["mobile"], ONE),
            ("phone", &["telephoneNumber"], ONE),
            ("principal-name", &["userPrincipalName"], ADDRESS),
            ("title", &["title"], ONE),
            ("user-name", &["sAMAccountName"], ONE),
        ],
    },
    groups: KindDefaults {
        filter: "(objectCategory=group)",
        names: &["name", "sAMAccountName"],
        extra: &["member", "objectSid"],
        rules: &[
            ("description", &["description"], ONE),
            ("email", &["mail"], ADDRESS),
            ("user-name", &["sAMAccountName"], ONE),
        ],
    },
    computers: KindDefaults {
        filter: "(&(objectCategory=computer)(objectClass=computer))",
        names: &["name", "sAMAccountName"],
        extra: &["userAccountControl"],
        rules: &[
            ("description", &["description"], ONE),
            ("host-name", &["dNSHostName"], ADDRESS),
            ("operating-system", &["operatingSystem"], ONE),
            ("operating-system-version", &["operatingSystemVersion"], ONE),
            ("user-name", &["sAMAccountName"], ONE),
        ],
    },
    units: KindDefaults {
        // Containers of people and computers, but not those of the system.
        filter: "(|(objectClass=organizationalUnit)(objectClass=builtinDomain)\
                 (&(objectClass=container)(!(showInAdvancedViewOnly=TRUE))))",
        names: &["name"],
        extra: &[],
        rules: &[("description", &["description"], ONE)],
    },
};
