//! The ids that the gateway makes itself and that several folders name: those of connections, delegations, keys
//! and events. The ids of another resource have their type in its own folder, by the same macro.

use crate::store::id_type::id_type;

id_type! {
    /// The id of a connection.
    ConnectionId = "conn_", "connection";
}

id_type! {
    /// The id of a delegation.
    DelegationId = "dlg_", "delegation";
}

id_type! {
    /// The id of an API key of this gateway.
    KeyId = "key_", "key";
}

id_type! {
    /// The id of an event. An event that another one causes has that one's id, a slash and its own entity.
    EventId = "evt_";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::id_type::MAX_BYTES;
    use seams::db::{DbError, Row, Value};
    use seams::ids;
    use serde_json::json;

    #[test]
    fn a_new_id_is_the_prefix_and_a_uuid() {
        for (id, prefix, length) in [
            (ConnectionId::new(1).to_string(), "conn_", 41),
            (DelegationId::new(1).to_string(), "dlg_", 40),
            (KeyId::new(1).to_string(), "key_", 40),
            (EventId::new(1).to_string(), "evt_", 40),
        ] {
            let uuid = id.strip_prefix(prefix).unwrap();
            let dashes: Vec<usize> = uuid.match_indices('-').map(|(at, _)| at).collect();
            assert_eq!((id.len(), dashes.as_slice()), (length, &[8, 13, 18, 23][..]), "{id}");
            assert!(uuid.starts_with("00000000-0001-7"), "{id}");
        }
        assert_ne!(KeyId::new(1), KeyId::new(1));
        let made = ConnectionId::new(1);
        assert_eq!(ConnectionId::parse(made.as_str()), Some(made));
    }

    #[test]
    fn ids_of_events_sort_by_time() {
        let at_ms = 1_767_322_245_678;
        let (early, late) = (EventId::new(at_ms), EventId::new(at_ms + 1));
        let (first, next) = (ids::first_event_of(at_ms), ids::first_event_of(at_ms + 1));
        assert!(early < late, "{early} {late}");
        assert!(first.as_str() < early.as_str() && early.as_str() < next.as_str());
    }

    #[test]
    fn the_prefix_with_plain_characters_is_accepted() {
        let longest = format!("conn_{}", "a".repeat(MAX_BYTES - 5));
        for text in ["conn_1", "conn_none", "conn_a-B_9", "conn_-", &longest] {
            let id = ConnectionId::parse(text).unwrap();
            assert_eq!((id.as_str(), id.to_string().as_str()), (text, text));
            assert_eq!(format!("{id:?}"), format!("{text:?}"));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let too_long = format!("conn_{}", "a".repeat(MAX_BYTES - 4));
        for text in [
            "",
            "1",
            "conn",
            "conn_",
            "CONN_1",
            "dlg_1",
            " conn_1",
            "conn_1 ",
            "conn_1\n",
            "conn_1\0",
            "conn_a/b",
            "conn_a.b",
            "conn_a%20b",
            "conn_é",
            "\"conn_1\"",
            "conn_'; drop table connections; --",
            &too_long,
        ] {
            assert_eq!(ConnectionId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_id_is_of_one_kind() {
        for text in ["conn_1", "dlg_1", "key_1", "evt_1"] {
            let kinds = [
                ConnectionId::parse(text).is_some(),
                DelegationId::parse(text).is_some(),
                KeyId::parse(text).is_some(),
                EventId::parse(text).is_some(),
            ];
            assert_eq!(kinds.into_iter().filter(|is_it| *is_it).count(), 1, "{text}");
        }
    }

    #[test]
    fn in_json_and_in_rows_an_id_is_its_text() {
        let id = EventId::parse("evt_1").unwrap();
        assert_eq!(json!({ "id": id }), json!({ "id": "evt_1" }));
        assert_eq!(Value::from(&id), Value::from("evt_1"));
        for stored in ["evt_1", "evt_1/conn_2", "conn_é", ""] {
            let text = json!(stored).to_string();
            let read: EventId = serde_json::from_str(&text).unwrap();
            assert_eq!(read.as_str(), stored);
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
            let mut row = Row::of([("event_id", stored.into())]);
            assert_eq!(EventId::from_row(&mut row, "event_id"), Ok(read));
        }
        assert!(serde_json::from_str::<EventId>("1").is_err());
        let mut row = Row::of([("event_id", Value::Null)]);
        assert_eq!(EventId::from_row(&mut row, "event_id"), Err(DbError::Shape));
    }
}
