//! Handshake, versions, capabilities, limits, Probe (contract section H).

use std::time::{Duration, SystemTime};

use longshore_driver_proto::v1;
use tonic::Code;

use crate::bed::Bed;
use crate::call::{answered, refused, timely};
use crate::check;
use crate::check::Check;
use crate::connection::{VERSION, Windows, handshake};
use crate::new_store::expecting;
use crate::verdict::{Failure, Verdict, ensure, equal};

pub(super) const CHECKS: &[Check] = &[
    check!("handshake.selects-a-version", ["H2"], [], selects_a_version),
    check!("handshake.no-version-in-common", ["H2"], [], no_version_in_common),
    check!("handshake.no-version-at-all", ["H2"], [], no_version_at_all),
    check!("handshake.one-of-several", ["H2"], [], one_of_several),
    check!("handshake.later-minor-version", ["H3"], [], later_minor_version),
    check!("handshake.names", ["H4", "H2"], [], names),
    check!("handshake.instance-is-of-the-process", ["H4"], [], instance_is_of_the_process),
    check!("handshake.instance-changes-with-a-restart", ["H4"], [Restart], instance_changes_with_a_restart),
    check!("handshake.two-instances", ["H4", "H5"], [Second], two_instances),
    check!("handshake.store-id-stays", ["H5"], [Restart], store_id_stays),
    check!("handshake.expected-store", ["H6", "H5"], [], expected_store),
    check!("handshake.another-store", ["H6"], [], another_store),
    check!("handshake.same-each-time", ["H8"], [], same_each_time),
    check!("handshake.durability-is-told", ["H8", "O9"], [], durability_is_told),
    check!("handshake.limits-in-range", ["H9"], [], limits_in_range),
    check!("handshake.clock", ["H11"], [], clock),
    check!("probe.ready", ["H12"], [], probe_ready),
    check!("probe.has-no-effects", ["H12"], [], probe_has_no_effects),
    check!("health.serving", ["H13"], [], health_serving),
];

async fn greet(bed: &Bed, request: v1::HandshakeRequest) -> Verdict<v1::HandshakeResponse> {
    answered("Handshake", bed.connect(Windows::default()).await?.handshake_with(request).await)
}

async fn selects_a_version(bed: &Bed) -> Verdict {
    let selected = greet(bed, handshake()).await?.selected;
    equal("Handshake with 1.0: the major version selected", &Some(1), &selected.map(|version| version.major))
}

async fn refuses(bed: &Bed, supported: Vec<v1::Version>) -> Verdict {
    let sent = format!("Handshake with versions {supported:?}");
    let request = v1::HandshakeRequest { supported, ..handshake() };
    let said = bed.connect(Windows::default()).await?.handshake_with(request).await;
    refused(sent, said, Code::FailedPrecondition, "VERSION_MISMATCH").map(drop)
}

async fn no_version_in_common(bed: &Bed) -> Verdict {
    refuses(bed, vec![v1::Version { major: 99, minor: 0 }, v1::Version { major: 98, minor: 7 }]).await
}

async fn no_version_at_all(bed: &Bed) -> Verdict {
    refuses(bed, Vec::new()).await
}

async fn one_of_several(bed: &Bed) -> Verdict {
    let supported = vec![v1::Version { major: 99, minor: 0 }, VERSION, v1::Version { major: 98, minor: 7 }];
    let selected = greet(bed, v1::HandshakeRequest { supported, ..handshake() }).await?.selected;
    equal(
        "Handshake with 99.0, 1.0, 98.7: the major version selected",
        &Some(1),
        &selected.map(|version| version.major),
    )
}

async fn later_minor_version(bed: &Bed) -> Verdict {
    let supported = vec![v1::Version { major: 1, minor: 999 }];
    let selected = greet(bed, v1::HandshakeRequest { supported, ..handshake() }).await?.selected;
    equal(
        "Handshake with 1.999: the major version selected",
        &Some(1),
        &selected.map(|version| version.major),
    )
}

async fn names(bed: &Bed) -> Verdict {
    let greeting = greet(bed, handshake()).await?;
    let name = &greeting.driver_name;
    let dns = !name.is_empty()
        && name.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        });
    ensure(dns, "Handshake", "a driver_name in DNS form", format!("{name:?}"))?;
    ensure(!greeting.driver_version.is_empty(), "Handshake", "a driver_version", "an empty one")?;
    ensure(!greeting.driver_instance.is_empty(), "Handshake", "a driver_instance", "an empty one")
}

async fn instance_is_of_the_process(bed: &Bed) -> Verdict {
    let first = greet(bed, handshake()).await?.driver_instance;
    for _ in 0..3 {
        equal(
            "Handshake on another connection: driver_instance",
            &first,
            &greet(bed, handshake()).await?.driver_instance,
        )?;
    }
    Ok(())
}

async fn instance_changes_with_a_restart(bed: &Bed) -> Verdict {
    let before = greet(bed, handshake()).await?.driver_instance;
    let after = bed.restart().await?.driver_instance;
    ensure(before != after, "Handshake before and after kill -9", "another driver_instance", after)
}

async fn two_instances(bed: &Bed) -> Verdict {
    let first = greet(bed, handshake()).await?;
    let second = answered("Handshake at the second", bed.second()?.handshake_with(handshake()).await)?;
    ensure(
        first.driver_instance != second.driver_instance,
        "Handshake at two instances",
        "two driver_instances",
        &first.driver_instance,
    )?;
    equal("Handshake at two instances on one store: store_id", &first.store_id, &second.store_id)
}

async fn store_id_stays(bed: &Bed) -> Verdict {
    let after = bed.restart().await?.store_id;
    equal("Handshake at the begin of the run and after kill -9: store_id", &bed.greeting.store_id, &after)
}

async fn expected_store(bed: &Bed) -> Verdict {
    let store_id = greet(bed, handshake()).await?.store_id;
    ensure(!store_id.is_empty(), "Handshake of a store that has an id", "the id", "an empty one")
        .map_err(|failure| failure.of("H5"))?;
    let greeting = greet(bed, expecting(&store_id)).await?;
    equal("Handshake that expects this store: store_id", &store_id, &greeting.store_id)
}

async fn another_store(bed: &Bed) -> Verdict {
    let (code, reason) = (Code::FailedPrecondition, "STORE_MISMATCH");
    let said = bed.connect(Windows::default()).await?.handshake_with(expecting("not-this-store")).await;
    refused("Handshake that expects another store", said, code, reason)?;
    let Some(new) = &bed.new_store else { return Ok(()) };
    let sent = "Handshake that expects a store, while this one had no id (to see it again, take a new one)";
    refused(sent, new.expected.clone(), code, reason).map(drop)
}

async fn same_each_time(bed: &Bed) -> Verdict {
    for _ in 0..2 {
        let greeting = greet(bed, handshake()).await?;
        equal("Handshake again: capabilities", &bed.greeting.capabilities, &greeting.capabilities)?;
        equal("Handshake again: limits", &bed.greeting.limits, &greeting.limits)?;
    }
    Ok(())
}

async fn durability_is_told(bed: &Bed) -> Verdict {
    let durability = bed.capabilities().durability();
    ensure(
        durability != v1::Durability::Unspecified,
        "Handshake",
        "a durability: PROCESS, OS or STABLE",
        format!("{durability:?}"),
    )
}

async fn limits_in_range(bed: &Bed) -> Verdict {
    let limits = bed.limits();
    let holds = |what: &str, holds: bool, got: u64| ensure(holds, "Handshake: limits", what, got);
    let (chunk, inline) = (limits.max_chunk_bytes, limits.max_inline_bytes);
    holds("max_chunk_bytes from 64 KiB to 1 MiB", (65_536..=1_048_576).contains(&chunk), chunk.into())?;
    holds("max_inline_bytes of at least 4 MiB + 64 KiB", inline >= 4_259_840, inline.into())?;
    holds("max_page of at least 1000", limits.max_page >= 1000, limits.max_page.into())?;
    let ttl = limits.upload_ttl.unwrap_or_default().seconds;
    holds("upload_ttl of at least 24 h", ttl >= 24 * 3600, u64::try_from(ttl).unwrap_or(0))
}

async fn clock(bed: &Bed) -> Verdict {
    let now = greet(bed, handshake()).await?.now.and_then(|time| SystemTime::try_from(time).ok());
    let now = now.ok_or_else(|| Failure::new("Handshake", "`now`", "none"))?;
    let skew = now.duration_since(SystemTime::now()).unwrap_or_else(|error| error.duration());
    ensure(
        skew < Duration::from_secs(60),
        "Handshake",
        "`now` within 60 s of the kit's clock",
        format!("{skew:?} off"),
    )
}

async fn probe(bed: &Bed) -> Verdict<v1::ProbeResponse> {
    let call = bed.driver().await.identity.clone().probe(timely(v1::ProbeRequest {})).await;
    answered("Probe", crate::call::Said::of(call))
}

async fn probe_ready(bed: &Bed) -> Verdict {
    let answer = probe(bed).await?;
    let state = answer.state();
    ensure(
        matches!(state, v1::probe_response::State::Ready | v1::probe_response::State::Degraded),
        "Probe of a driver that works",
        "STATE_READY",
        format!("{state:?}: {}", answer.reason),
    )
}

async fn probe_has_no_effects(bed: &Bed) -> Verdict {
    const ROUNDS: usize = 3;
    answered("Put", bed.driver().await.put_key(&bed.key("a"), "x").await)?;
    for round in 1..=ROUNDS {
        let before = (list(bed, &bed.prefix()).await?, others(bed).await?);
        for _ in 0..20 {
            probe(bed).await?;
        }
        let after = (list(bed, &bed.prefix()).await?, others(bed).await?);
        equal("List of the kit's own before and after 20 Probes", &before.0, &after.0)?;
        // One change may be that of somebody else who uses the store.
        if before.1 == after.1 {
            return Ok(());
        }
        if round == ROUNDS {
            equal("List of the store, one level, before and after 20 Probes", &before.1, &after.1)?;
        }
    }
    Ok(())
}

/// One level.
async fn list(bed: &Bed, prefix: &str) -> Verdict<Vec<v1::Entry>> {
    let driver = bed.driver().await;
    let (mut entries, mut start_after): (Vec<v1::Entry>, _) = (Vec::new(), String::new());
    loop {
        let request = v1::ListRequest { prefix: prefix.to_owned(), start_after, limit: 0, recursive: false };
        let page = answered("List", driver.list(request).await)?;
        let is_further = page.more && !page.entries.is_empty();
        entries.extend(page.entries);
        match entries.last().filter(|_| is_further) {
            None => return Ok(entries),
            Some(last) => start_after = crate::sweep::name(last.clone()).unwrap_or_default(),
        }
    }
}

/// The uppermost level of the store, but for what the kit makes there.
async fn others(bed: &Bed) -> Verdict<Vec<v1::Entry>> {
    let is_own = |entry: &v1::Entry| {
        let name = crate::sweep::name(entry.clone()).unwrap_or_default();
        crate::sweep::places().iter().any(|place| place.starts_with(&name) || name.starts_with(place))
    };
    Ok(list(bed, "").await?.into_iter().filter(|entry| !is_own(entry)).collect())
}

async fn health_serving(bed: &Bed) -> Verdict {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
    let mut client = HealthClient::new(bed.driver().await.channel);
    let answer = crate::call::Said::of(client.check(timely(HealthCheckRequest::default())).await);
    let answer = answered("grpc.health.v1.Health/Check of \"\"", answer)?;
    equal("grpc.health.v1.Health/Check of \"\"", &ServingStatus::Serving, &answer.status())
}
