//! Whatever the bytes are, decoding answers; whatever the message is, it comes back.

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
};
use syncline_protocol::{frame, items::*, opamp::*};

const LIMIT: usize = 1 << 20;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

fn value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        ".{0,8}".prop_map(Value::String),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1e9..1e9).prop_map(Value::Double),
        bytes().prop_map(Value::Bytes),
    ];
    let nested = leaf.prop_recursive(4, 16, 4, |inner| {
        let value = option::of(inner).prop_map(|value| AnyValue { value });
        let pair = (".{0,4}", option::of(value.clone())).prop_map(|(key, value)| KeyValue { key, value });
        prop_oneof![
            vec(value, 0..4).prop_map(|values| Value::Array(ArrayValue { values })),
            vec(pair, 0..4).prop_map(|values| Value::KeyValues(KeyValueList { values })),
        ]
    });
    option::of(nested).prop_map(|value| AnyValue { value })
}

fn config() -> impl Strategy<Value = AgentConfigMap> {
    let file = (bytes(), ".{0,8}")
        .prop_map(|(body, content_type)| AgentConfigFile { body: body.into(), content_type });
    btree_map(".{0,8}", file, 0..4).prop_map(|config_map| AgentConfigMap { config_map })
}

fn agent() -> impl Strategy<Value = AgentToServer> {
    let attributes = vec((".{0,8}", option::of(value())), 0..4)
        .prop_map(|all| all.into_iter().map(|(key, value)| KeyValue { key, value }).collect());
    let status = (bytes(), any::<i32>(), ".{0,8}").prop_map(|(hash, status, error_message)| {
        RemoteConfigStatus { last_remote_config_hash: hash, status, error_message }
    });
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>());
    (bytes(), numbers, attributes, option::of(config()), option::of(status)).prop_map(
        |(instance_uid, (sequence_num, capabilities, flags), attributes, config_map, status)| AgentToServer {
            instance_uid,
            sequence_num,
            capabilities,
            flags,
            agent_description: Some(AgentDescription {
                identifying_attributes: attributes,
                ..AgentDescription::default()
            }),
            effective_config: Some(EffectiveConfig { config_map }),
            remote_config_status: status,
            ..AgentToServer::default()
        },
    )
}

fn server() -> impl Strategy<Value = ServerToAgent> {
    let offer = (option::of(config()), bytes())
        .prop_map(|(config, config_hash)| AgentRemoteConfig { config, config_hash });
    (bytes(), option::of(offer), any::<u64>(), items()).prop_map(|(instance_uid, offer, flags, items)| {
        let custom_message = Some(items.to_custom());
        ServerToAgent {
            instance_uid,
            remote_config: offer,
            flags,
            custom_message,
            ..ServerToAgent::default()
        }
    })
}

fn digest() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(Vec::new()), vec(any::<u8>(), 32)]
}

fn application() -> impl Strategy<Value = Application> {
    (".{0,8}", digest(), any::<i32>(), any::<u64>(), digest(), any::<bool>(), ".{0,8}").prop_map(
        |(name, document_digest, state, applied_at_unix_ms, digest_on_disk, drift, error)| Application {
            name,
            document_digest,
            state,
            applied_at_unix_ms,
            digest_on_disk,
            drift,
            error,
        },
    )
}

fn body() -> impl Strategy<Value = Body> {
    let id = || any::<[u8; 16]>().prop_map(Vec::from);
    prop_oneof![
        (id(), digest(), any::<u64>()).prop_map(|(run_id, machine_fingerprint, clock_unix_ms)| {
            Body::Hello(Hello { run_id, machine_fingerprint, clock_unix_ms, ..Hello::default() })
        }),
        vec(application(), 0..4).prop_map(|applications| Body::Applications(Applications { applications })),
        (id(), ".{0,8}").prop_map(|(sync_id, reason)| Body::SyncRequest(SyncRequest { sync_id, reason })),
        (id(), any::<i32>()).prop_map(|(sync_id, outcome)| Body::SyncResult(SyncResult { sync_id, outcome })),
        (any::<i32>(), ".{0,8}", btree_map(".{0,4}", ".{0,4}", 0..4)).prop_map(
            |(severity, text, details)| {
                Body::Notice(Notice { severity, text, details, ..Notice::default() })
            }
        ),
        any::<[u64; 2]>()
            .prop_map(|[delay_ms, period_ms]| { Body::NextContact(NextContact { delay_ms, period_ms }) }),
    ]
}

fn items() -> impl Strategy<Value = Items> {
    let item = (any::<[u8; 16]>(), any::<u64>(), body());
    let item = item.prop_map(|(id, sent, body)| Item::new(Id::new(id), sent, body));
    (vec(item, 0..5), vec(any::<[u8; 16]>(), 0..5)).prop_map(|(items, received)| {
        let received = received.into_iter().map(Vec::from).collect();
        Items { items, received }
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_answered(bytes in vec(any::<u8>(), 0..400), limit in 0usize..500) {
        let fits = bytes.len() <= limit;
        for decoded in [
            frame::decode::<AgentToServer>(&bytes, limit).err(),
            frame::decode::<ServerToAgent>(&bytes, limit).err(),
            frame::decode_body::<AgentToServer>(&bytes, limit).err(),
            frame::decode_body::<ServerToAgent>(&bytes, limit).err(),
        ] {
            let too_large = matches!(decoded, Some(frame::FrameError::TooLarge { .. }));
            prop_assert_eq!(too_large, !fits);
        }
        let custom = CustomMessage { data: bytes.into(), ..Items::default().to_custom() };
        let too_large = matches!(Items::from_custom(&custom, limit), Err(BadItems::TooLarge { .. }));
        prop_assert_eq!(too_large, !fits);
    }

    /// Bytes that are nearly right come further than arbitrary ones.
    #[test]
    fn damaged_messages_are_answered(
        message in agent(), items in items(), damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = frame::encode(&message, LIMIT).unwrap();
        for (at, byte) in &damage {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        let _ = frame::decode::<AgentToServer>(&bytes, LIMIT);
        let mut data = items.to_custom().data.to_vec();
        for (at, byte) in damage {
            if !data.is_empty() {
                let at = at.index(data.len());
                data[at] = byte;
            }
        }
        let custom = CustomMessage { data: data.into(), ..Items::default().to_custom() };
        let _ = Items::from_custom(&custom, LIMIT);
    }

    #[test]
    fn agents_messages_come_back(message in agent()) {
        let framed = frame::encode(&message, LIMIT).unwrap();
        prop_assert_eq!(frame::decode::<AgentToServer>(&framed, LIMIT).unwrap(), message.clone());
        let body = frame::encode_body(&message, LIMIT).unwrap();
        prop_assert_eq!(frame::decode_body::<AgentToServer>(&body, LIMIT).unwrap(), message);
    }

    #[test]
    fn servers_messages_come_back_with_their_items(message in server()) {
        let framed = frame::encode(&message, LIMIT).unwrap();
        let read: ServerToAgent = frame::decode(&framed, LIMIT).unwrap();
        prop_assert_eq!(&read, &message);
        let custom = read.custom_message.unwrap();
        prop_assert!(Items::from_custom(&custom, LIMIT).unwrap().is_some());
    }

    #[test]
    fn items_come_back(items in items()) {
        prop_assert_eq!(Items::from_custom(&items.to_custom(), LIMIT), Ok(Some(items)));
    }
}
