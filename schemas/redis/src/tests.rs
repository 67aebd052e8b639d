//! What the engine promises, shown on real servers.

mod on_servers {
    use std::sync::atomic::{AtomicU64, Ordering};

    use crate::testing::{Sentinel, Server};
    use crate::{Append, Batch, Engine, Error, Key, Settings, Slot};

    const A: Slot = Slot::Group(10_001);
    const B: Slot = Slot::Group(10_002);

    fn at(address: &str) -> Settings {
        Settings { address: address.parse().unwrap(), password: None, authorities: None }
    }

    fn open(server: &Server) -> Engine {
        Engine::open(&at(&server.address()), "test", "test", 1).unwrap()
    }

    fn put(slot: Slot, key: &str, value: &str) -> Batch {
        let mut batch = Batch::default();
        batch.put(slot, Key::of(b'x').text(key), value.into());
        batch
    }

    fn values(engine: &mut Engine, slot: Slot) -> Vec<String> {
        let rows = engine.rows(slot, &Key::of(b'x'), &Key::of(b'y')).unwrap();
        rows.iter().map(|row| String::from_utf8(row.value().to_vec()).unwrap()).collect()
    }

    fn entry(place: u64) -> Append {
        Append { first: place, last: place, size: 7, state: b"s".to_vec(), milestone: None, entries: b"e".to_vec() }
    }

    fn append(slot: Slot, place: u64) -> Batch {
        let mut batch = Batch::default();
        batch.append(slot, entry(place));
        batch
    }

    #[test]
    fn a_batch_that_was_done_is_not_done_again() {
        let server = Server::start();
        let mut engine = open(&server);
        engine.commit(&put(A, "a", "1")).unwrap();
        let last = engine.batches[&Slot::Main];
        // As if the answer had been lost.
        engine.batches.insert(Slot::Main, last - 1);
        engine.commit(&put(A, "a", "again")).unwrap();
        assert_eq!(values(&mut engine, A), ["1"]);
        engine.commit(&put(A, "b", "2")).unwrap();
        assert_eq!(values(&mut engine, A), ["1", "2"]);
    }

    #[test]
    fn a_zombie_does_not_write() {
        let server = Server::start();
        let mut zombie = open(&server);
        zombie.commit(&put(A, "a", "1")).unwrap();
        let mut owner = open(&server);
        assert_eq!(zombie.commit(&put(A, "b", "2")), Err(Error::TakenOver));
        assert_eq!(zombie.commit(&put(B, "b", "2")), Err(Error::TakenOver), "nor where nobody has written yet");
        assert_eq!(values(&mut owner, A), ["1"]);
        assert_eq!(owner.groups().unwrap(), [10_001]);
    }

    #[test]
    fn a_redis_that_forgot_is_found_out() {
        let mut server = Server::start();
        let mut engine = open(&server);
        engine.commit(&put(A, "a", "1")).unwrap();
        server.kill();
        server.forget();
        server.restart();
        assert_eq!(engine.commit(&put(A, "b", "2")), Err(Error::Lost));
        let mut again = open(&server);
        assert_eq!(values(&mut again, A), [""; 0]);
    }

    #[test]
    fn a_gap_in_a_log_refuses_the_whole_batch() {
        let server = Server::start();
        let mut engine = open(&server);
        engine.commit(&append(A, 1)).unwrap();
        let mut batch = put(A, "a", "1");
        batch.append(A, entry(2));
        batch.append(A, entry(4));
        let text = engine.commit(&batch).unwrap_err().to_string();
        assert!(text.contains("does not follow"), "{text}");
        assert_eq!(values(&mut engine, A), [""; 0]);
        assert_eq!(engine.log_end(A).unwrap(), Some((1, b"s".to_vec(), 7)));
        engine.commit(&append(A, 2)).unwrap();
        assert_eq!(engine.log(A, 2, 9).unwrap().len(), 1);
    }

    /// Whatever was under way when Redis died is there once when it is back: the log takes no entry twice and leaves none out.
    #[test]
    fn commits_go_on_behind_a_kill() {
        const ALL: u64 = 3000;
        let mut server = Server::start();
        let mut engine = open(&server);
        let done = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for place in 1..=ALL {
                    engine.commit(&append(A, place)).unwrap();
                    done.store(place, Ordering::SeqCst);
                }
                engine
            });
            for kill in 1..=3 {
                while done.load(Ordering::SeqCst) < kill * ALL / 4 && !writer.is_finished() {
                    std::thread::yield_now();
                }
                server.kill();
                server.restart();
            }
            let mut engine = writer.join().unwrap();
            assert_eq!(engine.log_end(A).unwrap(), Some((ALL, b"s".to_vec(), ALL * 7)));
            let all: Vec<_> = engine.log(A, 1, usize::MAX >> 1).unwrap().iter().map(|row| row.first).collect();
            assert_eq!(all, (1..=ALL).collect::<Vec<_>>());
            assert!(engine.figures().1 >= 1, "it was connected again");
        });
    }

    #[test]
    fn what_is_not_durable_is_said() {
        let risks = |settings: &[&str]| {
            let server = Server::with(settings);
            open(&server).connection.run(|c| Ok(crate::durable::risks(c, false))).unwrap()
        };
        assert_eq!(risks(&["--appendonly", "yes", "--appendfsync", "always"]), [""; 0]);
        let told = risks(&["--appendonly", "yes", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
        assert!(
            told.len() == 2 && told[0].contains("appendfsync always") && told[1].contains("noeviction"),
            "{told:?}"
        );
        let told = risks(&["--rename-command", "CONFIG", ""]);
        assert!(told.len() == 1 && told[0].contains("appendonly yes"), "{told:?}");
    }

    #[test]
    fn somebody_elses_keys_and_newer_formats_are_refused() {
        let server = Server::start();
        drop(open(&server));
        let open = |kind, format| Engine::open(&at(&server.address()), "test", kind, format);
        let refused = |kind, format| open(kind, format).unwrap_err().to_string();
        assert!(refused("other", 1).contains("prefix"));
        // An older one is taken on, and from then on it is for programs that know the newer.
        drop(open("test", 2).unwrap());
        assert!(refused("test", 1).contains("format 2"));
    }

    #[test]
    fn a_password_is_asked_for_and_taken() {
        let server = Server::with(&["--requirepass", "s3cret"]);
        let open = |password: Option<&str>| {
            let password = password.map(crate::Password::new);
            Engine::open(&Settings { password, ..at(&server.address()) }, "test", "test", 1)
        };
        let text = open(None).unwrap_err().to_string();
        assert!(text.contains("password"), "{text}");
        let text = open(Some("wrong")).unwrap_err().to_string();
        assert!(text.contains("file") && !text.contains("wrong "), "{text}");
        open(Some("s3cret\n")).unwrap().commit(&put(A, "a", "1")).unwrap();
    }

    #[test]
    fn a_fail_over_is_waited_for() {
        let mut master = Server::start();
        let port = master.port().to_string();
        let replica =
            Server::with(&["--appendonly", "yes", "--appendfsync", "always", "--replicaof", "127.0.0.1", &port]);
        let mut at_replica = crate::connection::Connection::open(at(&replica.address())).unwrap();
        let until = |connection: &mut crate::connection::Connection, command: &[&str], text: &str| loop {
            let answer =
                connection.run(|c| redis::cmd(command[0]).arg(&command[1..]).query::<redis::Value>(c)).unwrap();
            if format!("{answer:?}").contains(text) {
                break;
            }
            std::thread::yield_now();
        };
        until(&mut at_replica, &["INFO", "replication"], "master_link_status:up");
        let sentinel = Sentinel::watching(&master);
        let mut at_sentinel =
            crate::connection::Connection::open(at(&format!("redis://127.0.0.1:{}", sentinel.port()))).unwrap();
        until(&mut at_sentinel, &["SENTINEL", "REPLICAS", "main"], &replica.port().to_string());
        let address = format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{}/main", sentinel.port());
        let mut engine = Engine::open(&at(&address), "test", "test", 1).unwrap();
        for place in 1..=50 {
            engine.commit(&append(A, place)).unwrap();
        }
        let copied: u64 = engine.connection.run(|c| redis::cmd("WAIT").arg(1).arg(10_000).query(c)).unwrap();
        assert_eq!(copied, 1);
        master.kill();
        engine.commit(&append(A, 51)).unwrap();
        let mut there = Engine::look(&at(&replica.address()), "test").unwrap();
        assert_eq!(there.log(A, 1, 99).unwrap().len(), 51);
        assert!(engine.figures().1 >= 1, "it was connected again");
    }

    #[test]
    fn tls_trusts_the_given_authority_alone() {
        use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
        let authority = || {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
        };
        let (ours, other) = (authority(), authority());
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &ours).unwrap();
        let files = tempfile::tempdir().unwrap();
        let file = |name: &str, text: String| {
            let path = files.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (cert, key, ca) =
            (file("cert", certificate.pem()), file("key", key.serialize_pem()), file("ca", ours.pem()));
        let port = crate::testing::free_port().to_string();
        let _server = Server::with(&[
            "--tls-port",
            &port,
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &ca,
            "--tls-auth-clients",
            "no",
        ]);
        let open = |trusted: String| {
            let settings = Settings { authorities: Some(trusted.into()), ..at(&format!("rediss://127.0.0.1:{port}")) };
            Engine::open(&settings, "test", "test", 1)
        };
        let mut engine = open(ours.pem()).unwrap();
        engine.commit(&put(A, "a", "1")).unwrap();
        assert_eq!(values(&mut engine, A), ["1"]);
        let text = open(other.pem()).unwrap_err().to_string();
        assert!(text.contains("cannot be used"), "{text}");
    }

    /// A Cluster of one node has all the slots, and refuses what would need two of them at once.
    #[test]
    fn a_cluster_takes_batches_slot_by_slot() {
        let server = Server::with(&["--appendonly", "yes", "--appendfsync", "always", "--cluster-enabled", "yes"]);
        let mut node = crate::connection::Connection::open(at(&server.address())).unwrap();
        node.run(|c| redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16383).query::<()>(c)).unwrap();
        loop {
            let info: String = node.run(|c| redis::cmd("CLUSTER").arg("INFO").query(c)).unwrap();
            if info.contains("cluster_state:ok") {
                break;
            }
            std::thread::yield_now();
        }
        let address = format!("redis+cluster://127.0.0.1:{}", server.port());
        let open = || Engine::open(&at(&address), "test", "test", 1).unwrap();
        let mut first = open();
        let mut batch = put(A, "a", "1");
        batch.put(B, Key::of(b'x').text("b"), b"2".to_vec());
        batch.put(Slot::Main, Key::of(b'x').text("m"), b"3".to_vec());
        batch.append(B, entry(1));
        first.commit(&batch).unwrap();
        let mut second = open();
        assert_eq!(first.commit(&put(A, "a", "zombie")), Err(Error::TakenOver));
        second.commit(&append(B, 2)).unwrap();
        assert_eq!(values(&mut second, A), ["1"]);
        assert_eq!(values(&mut second, B), ["2"]);
        assert_eq!(values(&mut second, Slot::Main), ["3"]);
        assert_eq!(second.groups().unwrap(), [10_001, 10_002]);
        assert_eq!(second.log(B, 1, 9).unwrap().len(), 2);
    }
}
