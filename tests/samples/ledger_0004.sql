BEGIN TRANSACTION;
CREATE TABLE checkpoints (
	number BIGINT NOT NULL, 
	size BIGINT NOT NULL, 
	note TEXT NOT NULL, 
	sealed_at TEXT NOT NULL, 
	CONSTRAINT pk_checkpoints PRIMARY KEY (number)
);
INSERT INTO "checkpoints" VALUES(1,36,'holdbook/01a2324a-fb95-7496-bd81-d70ca94ba833
36
XJXECgrquw8Wu4AGxUIDKVpcrw+yu2vqA1kPga+m0bU=
number 1
chain dK5QulQ0sTdmMR8aB6uRIUOm1b6LQgyMp2onx6jR4xE=

— o 6wOSMjvNB9neOJNYsAqcnuFMhycKYl2/v2wri9HoYVUPSR0KxfxkYPpFAFbUvp1v79GHpmCCRXgjGj9/BnBy9YxbWgE=
','2026-01-01T00:00:00.000000Z');
CREATE TABLE cosignatures (
	checkpoint BIGINT NOT NULL, 
	"key" TEXT NOT NULL, 
	line TEXT NOT NULL, 
	cosigned_at TEXT NOT NULL, 
	CONSTRAINT pk_cosignatures PRIMARY KEY (checkpoint, "key")
);
CREATE TABLE events (
	position INTEGER NOT NULL, 
	stream_id TEXT NOT NULL, 
	version BIGINT NOT NULL, 
	type TEXT NOT NULL, 
	schema_version SMALLINT NOT NULL, 
	command_id TEXT NOT NULL, 
	ordinal INTEGER NOT NULL, 
	ordinals INTEGER NOT NULL, 
	allocation_id TEXT, 
	occurred_at TEXT NOT NULL, 
	recorded_at TEXT NOT NULL, 
	actor TEXT, 
	correlation_id TEXT, 
	causation_id TEXT, 
	command TEXT, 
	data TEXT NOT NULL, 
	hash BLOB NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (position), 
	CONSTRAINT uq_events_stream_id_version UNIQUE (stream_id, version), 
	CONSTRAINT uq_events_command_id_ordinal UNIQUE (command_id, ordinal), 
	CONSTRAINT ck_events_position CHECK (position >= 1), 
	CONSTRAINT ck_events_ordinal CHECK (ordinal >= 0 AND ordinal < ordinals)
);
INSERT INTO "events" VALUES(1,'pool:cpu',1,'PoolOpened',1,'~6a4f37810edda44d977358b11aed7468aa501e558b9ef628d566d16be2889207',0,1,NULL,'2026-01-01T00:00:00.000000Z','2026-01-01T00:00:00.000000Z','teller',NULL,NULL,'{"command":"open_pool","limits":{"overcommit":"1","reserved":0,"step":5,"total":100},"pool":"cpu","resource_type":"cpu","unit":"unit"}','{"pool":"cpu","resource_type":"cpu","unit":"unit","limits":{"total":100,"reserved":0,"overcommit":"1","min_size":null,"max_size":null,"step":5,"max_allocations":null,"per_owner":null,"default_ttl":null,"max_ttl":null}}',X'1C00E9EA155B0A3073FB659460BFB46EF12A5972DC913B9BEEEED0F6153D0D92');
INSERT INTO "events" VALUES(2,'pool:gpu',1,'PoolOpened',1,'~eb59ceac7fd430a43b8320b9efe36eb839993ea2388df37d7604f82a5375f78e',0,1,NULL,'2026-01-01T00:00:00.000000Z','2026-01-01T00:00:00.000000Z','teller',NULL,NULL,'{"command":"open_pool","limits":{"max_size":4,"overcommit":"1","per_owner":6,"reserved":0,"total":8},"pool":"gpu","resource_type":"gpu","unit":"unit"}','{"pool":"gpu","resource_type":"gpu","unit":"unit","limits":{"total":8,"reserved":0,"overcommit":"1","min_size":null,"max_size":4,"step":null,"max_allocations":null,"per_owner":6,"default_ttl":null,"max_ttl":null}}',X'9E5497294B9321FB9B7F6B80072FE5B1695CB0C5564AEEE64077194032A72F0B');
INSERT INTO "events" VALUES(3,'pool:seats',1,'PoolOpened',1,'~a3e7d0f861c11488a7956be578675925338b9a022647dfe57744a84eb874ee75',0,1,NULL,'2026-01-01T00:00:00.000000Z','2026-01-01T00:00:00.000000Z','teller',NULL,NULL,'{"command":"open_pool","limits":{"default_ttl":50,"max_ttl":60,"overcommit":"1","reserved":0,"total":2},"pool":"seats","resource_type":"seat","unit":"unit"}','{"pool":"seats","resource_type":"seat","unit":"unit","limits":{"total":2,"reserved":0,"overcommit":"1","min_size":null,"max_size":null,"step":null,"max_allocations":null,"per_owner":null,"default_ttl":50,"max_ttl":60}}',X'C0AC5BFA67A5B48C84E5E44A7999BD51D47FCC016889813A3A400AB19BBC918A');
INSERT INTO "events" VALUES(4,'pool:cpu',2,'Allocated',1,'~51facedc0f6c7db08aacfb1f2860ef9e2bd47dea9117fb2a175485ff8825e421',0,2,'a1','2026-01-01T00:00:10.000000Z','2026-01-01T00:00:10.000000Z','teller',NULL,NULL,'{"allocation_id":"a1","command":"allocate","owner":"ann","quantities":{"cpu":20,"gpu":2},"tags":{"job":"7"},"ttl":100}','{"pool":"cpu","allocation_id":"a1","owner":"ann","quantity":20,"pools":["cpu","gpu"],"epoch":1,"tags":{"job":"7"},"deadline":"2026-01-01T00:01:50.000000Z"}',X'7AF88B300698D2416484AD952E72ABF7DA99B646EEF09B562E1E93E14E1E4B9C');
INSERT INTO "events" VALUES(5,'pool:gpu',2,'Allocated',1,'~51facedc0f6c7db08aacfb1f2860ef9e2bd47dea9117fb2a175485ff8825e421',1,2,'a1','2026-01-01T00:00:10.000000Z','2026-01-01T00:00:10.000000Z','teller',NULL,NULL,NULL,'{"pool":"gpu","allocation_id":"a1","owner":"ann","quantity":2,"pools":["cpu","gpu"],"epoch":1,"tags":{"job":"7"},"deadline":"2026-01-01T00:01:50.000000Z"}',X'99E23C6252AF6647B41E3EE86B58BBF54BA60B855DC597BFEDC749664C950E4F');
INSERT INTO "events" VALUES(6,'pool:gpu',3,'Allocated',1,'c2',0,1,'a2','2026-01-01T00:00:10.000000Z','2026-01-01T00:00:10.000000Z','bob',NULL,NULL,'{"actor":"bob","allocation_id":"a2","command":"allocate","owner":"bob","quantities":{"gpu":2},"tags":{}}','{"pool":"gpu","allocation_id":"a2","owner":"bob","quantity":2,"pools":["gpu"],"epoch":1,"tags":{},"deadline":null}',X'CBC183035EA3B6ACC9AB2FC317C06BD4FF4D0BC1E763247D4C443E2A62363CAB');
INSERT INTO "events" VALUES(7,'pool:cpu',3,'Reserved',1,'~800eebd8fd89600dc2bc4d713ac639c3fb26680c6b58aa83531321a16153f477',0,2,'r1','2026-01-01T00:00:10.000000Z','2026-01-01T00:00:10.000000Z','teller',NULL,NULL,'{"allocation_id":"r1","command":"reserve","owner":"cid","quantities":{"cpu":5,"seats":1},"tags":{},"ttl":20}','{"pool":"cpu","allocation_id":"r1","owner":"cid","quantity":5,"pools":["cpu","seats"],"epoch":1,"tags":{},"deadline":"2026-01-01T00:00:30.000000Z"}',X'E70A49C649E4BDD5FAB8E6C74D742A35B900FF7CBF1B94E1367DE7C665700FCD');
INSERT INTO "events" VALUES(8,'pool:seats',2,'Reserved',1,'~800eebd8fd89600dc2bc4d713ac639c3fb26680c6b58aa83531321a16153f477',1,2,'r1','2026-01-01T00:00:10.000000Z','2026-01-01T00:00:10.000000Z','teller',NULL,NULL,NULL,'{"pool":"seats","allocation_id":"r1","owner":"cid","quantity":1,"pools":["cpu","seats"],"epoch":1,"tags":{},"deadline":"2026-01-01T00:00:30.000000Z"}',X'774C2BEEA79D6491224F8648EA2C0A581D97D403A1401C2581511B4DFC0E5CAF');
INSERT INTO "events" VALUES(9,'pool:gpu',4,'Reserved',1,'~3db851c67ad3d915ac0154fadbb19dfb38c374d7dea8bcada94cbcadc00bb016',0,1,'r2','2026-01-01T00:00:10.000000Z','2026-01-01T00:00:10.000000Z','teller',NULL,NULL,'{"allocation_id":"r2","command":"reserve","owner":"dee","quantities":{"gpu":1},"tags":{},"ttl":20}','{"pool":"gpu","allocation_id":"r2","owner":"dee","quantity":1,"pools":["gpu"],"epoch":1,"tags":{},"deadline":"2026-01-01T00:00:30.000000Z"}',X'A05107CC83CFA3B4CBD067045FF7B1D93C6AC32172FA2984EAF160BF5B183636');
INSERT INTO "events" VALUES(10,'pool:cpu',4,'Confirmed',1,'01a2324a-fc96-775a-8f05-eafb06ac0455',0,2,'r1','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller','story',NULL,'{"allocation_id":"r1","command":"confirm","correlation_id":"story"}','{"pool":"cpu","allocation_id":"r1","owner":"cid","quantity":5,"deadline":"2026-01-01T00:01:10.000000Z"}',X'0D51DDCFBD0CD8AA2691DCEBDDA28A9EE33184497721DD372029164D2F46CD9C');
INSERT INTO "events" VALUES(11,'pool:seats',3,'Confirmed',1,'01a2324a-fc96-775a-8f05-eafb06ac0455',1,2,'r1','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller','story',NULL,NULL,'{"pool":"seats","allocation_id":"r1","owner":"cid","quantity":1,"deadline":"2026-01-01T00:01:10.000000Z"}',X'248E11241497229D564D3ED623397A36360D399FE11982AEE77B6ADAC3E4ADDE');
INSERT INTO "events" VALUES(12,'pool:gpu',5,'Voided',1,'01a2324a-fc9c-77e5-89cc-a937f3648830',0,1,'r2','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,'{"allocation_id":"r2","command":"void","reason":"no need"}','{"pool":"gpu","allocation_id":"r2","owner":"dee","quantity":1,"reserved":true,"reason":"no need"}',X'42D356E66EFFDE85E3E187BDD0B51250686F04DDD2AE3EB22E550A5B0E07F8CD');
INSERT INTO "events" VALUES(13,'pool:cpu',5,'Renewed',1,'01a2324a-fca9-7019-b55b-04f38af854ea',0,2,'a1','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,'{"allocation_id":"a1","command":"renew","ttl":200}','{"pool":"cpu","allocation_id":"a1","owner":"ann","quantity":20,"deadline":"2026-01-01T00:03:40.000000Z","previous_deadline":"2026-01-01T00:01:50.000000Z"}',X'BB4E32C8A7873383ADDCB55D3C1A4B13CD33BF82FB7E84A010A4B0B3A1FB3A05');
INSERT INTO "events" VALUES(14,'pool:gpu',6,'Renewed',1,'01a2324a-fca9-7019-b55b-04f38af854ea',1,2,'a1','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,NULL,'{"pool":"gpu","allocation_id":"a1","owner":"ann","quantity":2,"deadline":"2026-01-01T00:03:40.000000Z","previous_deadline":"2026-01-01T00:01:50.000000Z"}',X'1C820D00E9ADD2C2DA6D3D7F55B5838F5CB31ADB8DF6C556939C34AB65CAF592');
INSERT INTO "events" VALUES(15,'pool:cpu',6,'Resized',1,'01a2324a-fcae-7435-b7ed-f85030b210c2',0,2,'a1','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,'{"allocation_id":"a1","command":"resize","quantities":{"cpu":40,"gpu":1}}','{"pool":"cpu","allocation_id":"a1","owner":"ann","quantity":40,"previous_quantity":20}',X'6558228798A9ED4D1B7B417AFDF114B479AC36BBCF2D32EBE19FB1C03BE58FE8');
INSERT INTO "events" VALUES(16,'pool:gpu',7,'Resized',1,'01a2324a-fcae-7435-b7ed-f85030b210c2',1,2,'a1','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,NULL,'{"pool":"gpu","allocation_id":"a1","owner":"ann","quantity":1,"previous_quantity":2}',X'E2233EF36B682C4FF539DBEB0C566CD6D5AFFC35F412BC78F87A960F52049D21');
INSERT INTO "events" VALUES(17,'pool:cpu',7,'Transferred',1,'01a2324a-fcb8-7176-9f41-6fa20f314927',0,2,'a1','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,'{"allocation_id":"a1","command":"transfer","to":"bob"}','{"pool":"cpu","allocation_id":"a1","owner":"bob","quantity":40,"previous_owner":"ann"}',X'CA875B233EA47192D6D9506BC479916A0141D461224E007937C41379760C862C');
INSERT INTO "events" VALUES(18,'pool:gpu',8,'Transferred',1,'01a2324a-fcb8-7176-9f41-6fa20f314927',1,2,'a1','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,NULL,'{"pool":"gpu","allocation_id":"a1","owner":"bob","quantity":1,"previous_owner":"ann"}',X'6B44683D58124A98BE1E7CADD3636EB5A3F000900851292380E149FC4428276D');
INSERT INTO "events" VALUES(19,'pool:gpu',9,'LimitsChanged',1,'01a2324a-fcc2-752a-b820-1985a3325f7b',0,1,NULL,'2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,'{"command":"change_limits","limits":{"max_size":4,"overcommit":"1","reserved":0,"total":2},"pool":"gpu"}','{"pool":"gpu","limits":{"total":2,"reserved":0,"overcommit":"1","min_size":null,"max_size":4,"step":null,"max_allocations":null,"per_owner":null,"default_ttl":null,"max_ttl":null},"previous":{"total":8,"reserved":0,"overcommit":"1","min_size":null,"max_size":4,"step":null,"max_allocations":null,"per_owner":6,"default_ttl":null,"max_ttl":null}}',X'A0E34A0055251325311C32390A4B6E38D5AA2E72A4E9156435925F00BEC7154A');
INSERT INTO "events" VALUES(20,'refusals:gpu',1,'ValidationFailed',1,'~30572ad0fc780162f97f682b3687fb7e6c2365393ba998cf2e2706c3ffd152c8',0,1,'a3','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,'{"allocation_id":"a3","command":"allocate","owner":"eve","quantities":{"gpu":1},"tags":{}}','{"code":"pool_exhausted","pool":"gpu","known":true,"allocation_id":"a3","asked":{"allocation_id":"a3","command":"allocate","owner":"eve","quantities":{"gpu":1},"tags":{}},"data":{"pool":"gpu","allocation_id":"a3","unit":"unit","capacity":2,"used":3,"free":0,"limit":2,"asked":1}}',X'5E1CE29504D86B58CDBE321351B0B2876CD88C81CB49C74E795FAB3C6031497B');
INSERT INTO "events" VALUES(21,'refusals:',1,'ValidationFailed',1,'01a2324a-fcd6-7707-90c9-8633ab146ca6',0,1,'nobody','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,'{"allocation_id":"nobody","command":"release"}','{"code":"allocation_not_found","pool":null,"known":false,"allocation_id":"nobody","asked":{"allocation_id":"nobody","command":"release"},"data":{"allocation_id":"nobody"}}',X'178BB8FD38F9ADD43624261FB1817C04F8113CC7D0819A14D6D3EC0422125D86');
INSERT INTO "events" VALUES(22,'pool:cpu',8,'Resized',1,'01a2324a-fcde-7675-a127-73334748d59f',0,1,'a1','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,'{"allocation_id":"a1","command":"resize","quantities":{"cpu":30}}','{"pool":"cpu","allocation_id":"a1","owner":"bob","quantity":30,"previous_quantity":40}',X'4BA66968ABBC34F5E69FC39F4633DE23D25763F69D2770B635E6094817931D82');
INSERT INTO "events" VALUES(23,'pool:gpu',10,'Released',2,'01a2324a-fcea-7307-b01f-59347faaa2c6',0,1,'a2','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,'{"allocation_id":"a2","command":"release","reason":"done"}','{"pool":"gpu","allocation_id":"a2","owner":"bob","quantity":2,"reserved":false,"reason":"done","forced":false}',X'12EF6D1D90FB5AE298C311E184D90038ACE3E1FC3291C684C4F37DA4FFBFA304');
INSERT INTO "events" VALUES(24,'pool:seats',4,'Allocated',1,'~e2fcd3c7dfa1c16a3c566c2f2d19f64e1666e6ed5dbbd1f73d2f83b71ebe6597',0,1,'s1','2026-01-01T00:00:30.000000Z','2026-01-01T00:00:30.000000Z','teller',NULL,NULL,'{"allocation_id":"s1","command":"allocate","owner":"cid","quantities":{"seats":1},"tags":{}}','{"pool":"seats","allocation_id":"s1","owner":"cid","quantity":1,"pools":["seats"],"epoch":1,"tags":{},"deadline":"2026-01-01T00:01:20.000000Z"}',X'90DC60160561E91D2810567CABA05BD81486EC9F105E493F35CE19C2B84C0DE8');
INSERT INTO "events" VALUES(25,'pool:cpu',9,'Expired',1,'01a2324a-fcfe-76ba-8198-b9e24bcb67a9',0,6,'r1','2026-01-01T00:01:10.000000Z','2026-01-01T00:05:00.000000Z','teller',NULL,NULL,NULL,'{"pool":"cpu","allocation_id":"r1","owner":"cid","quantity":5,"reserved":false,"deadline":"2026-01-01T00:01:10.000000Z"}',X'242CCF3748937DFB3DF3DF2867A3F1ED075D61F6D9FE20E5F9444978ECAC7A22');
INSERT INTO "events" VALUES(26,'pool:seats',5,'Expired',1,'01a2324a-fcfe-76ba-8198-b9e24bcb67a9',1,6,'r1','2026-01-01T00:01:10.000000Z','2026-01-01T00:05:00.000000Z','teller',NULL,NULL,NULL,'{"pool":"seats","allocation_id":"r1","owner":"cid","quantity":1,"reserved":false,"deadline":"2026-01-01T00:01:10.000000Z"}',X'FD34DB67157EEF145ABC1055A267CA884F42A7EA6CFB5CFDEF34E7B69A34533F');
INSERT INTO "events" VALUES(27,'pool:seats',6,'Expired',1,'01a2324a-fcfe-76ba-8198-b9e24bcb67a9',2,6,'s1','2026-01-01T00:01:20.000000Z','2026-01-01T00:05:00.000000Z','teller',NULL,NULL,NULL,'{"pool":"seats","allocation_id":"s1","owner":"cid","quantity":1,"reserved":false,"deadline":"2026-01-01T00:01:20.000000Z"}',X'EF08346E52497AB5B478065F966A9B6483703D4FE6074BFD2F9F86D7E7531ED6');
INSERT INTO "events" VALUES(28,'pool:cpu',10,'Expired',1,'01a2324a-fcfe-76ba-8198-b9e24bcb67a9',3,6,'a1','2026-01-01T00:03:40.000000Z','2026-01-01T00:05:00.000000Z','teller',NULL,NULL,NULL,'{"pool":"cpu","allocation_id":"a1","owner":"bob","quantity":30,"reserved":false,"deadline":"2026-01-01T00:03:40.000000Z"}',X'D057785AA3F9F253FE9C6A9D6171073012801297940FA7502C84588AC9AEA694');
INSERT INTO "events" VALUES(29,'pool:gpu',11,'Expired',1,'01a2324a-fcfe-76ba-8198-b9e24bcb67a9',4,6,'a1','2026-01-01T00:03:40.000000Z','2026-01-01T00:05:00.000000Z','teller',NULL,NULL,NULL,'{"pool":"gpu","allocation_id":"a1","owner":"bob","quantity":1,"reserved":false,"deadline":"2026-01-01T00:03:40.000000Z"}',X'C5C306C0473D62757EB032E5B592544163E0C175F3483B0BB0DD53C74A55B2E3');
INSERT INTO "events" VALUES(30,'refusals:cpu',1,'ValidationFailed',1,'01a2324a-fcfe-76ba-8198-b9e24bcb67a9',5,6,'a1','2026-01-01T00:05:00.000000Z','2026-01-01T00:05:00.000000Z','teller',NULL,NULL,'{"allocation_id":"a1","command":"renew","ttl":10}','{"code":"allocation_ended","pool":"cpu","known":true,"allocation_id":"a1","asked":{"allocation_id":"a1","command":"renew","ttl":10},"data":{"pool":"cpu","allocation_id":"a1","unit":"unit","capacity":100,"used":0,"free":100,"state":"expired"}}',X'D8B21384EF8FFF603C76A09690E0E7410E2240EEC777D839FA31C3A7A3E7B702');
INSERT INTO "events" VALUES(31,'pool:seats',7,'Allocated',1,'~67b5ec8b6f9d8a4ffc71a30bd175ab07f65057334dc5a3adcb06fd3e6f436332',0,1,'s2','2026-01-01T00:05:00.000000Z','2026-01-01T00:05:00.000000Z','teller',NULL,NULL,'{"allocation_id":"s2","command":"allocate","owner":"fay","quantities":{"seats":2},"tags":{}}','{"pool":"seats","allocation_id":"s2","owner":"fay","quantity":2,"pools":["seats"],"epoch":1,"tags":{},"deadline":"2026-01-01T00:05:50.000000Z"}',X'37723CE6D6CCB39A343033CD3FB824EEAE1F0888BA66FD0540A04477F096D95B');
INSERT INTO "events" VALUES(32,'pool:seats',8,'PoolClosed',1,'01a2324a-fd13-74e8-b006-21c2ab44129e',0,1,NULL,'2026-01-01T00:05:00.000000Z','2026-01-01T00:05:00.000000Z','teller',NULL,NULL,'{"command":"close_pool","pool":"seats","reason":"moved"}','{"pool":"seats","reason":"moved"}',X'57E4322836A57D64DA8B6D6DB3D161DBBB61CCABF299693944532ED04286C19B');
INSERT INTO "events" VALUES(33,'pool:seats',9,'Expired',1,'01a2324a-fd1e-7740-bef0-3d93c99913d9',0,1,'s2','2026-01-01T00:05:50.000000Z','2026-01-01T00:06:40.000000Z','teller',NULL,NULL,'{"command":"expire"}','{"pool":"seats","allocation_id":"s2","owner":"fay","quantity":2,"reserved":false,"deadline":"2026-01-01T00:05:50.000000Z"}',X'0AD62F47F1BC8BB9635659FA1C29C9F0DD12D2A7FFA7649C437276B5857EE874');
INSERT INTO "events" VALUES(34,'pool:cpu',11,'Allocated',1,'~cdb010dfeef64a92705bab2eb3b0f93186b981f231527f09008bbc035199ee9b',0,1,'a4','2026-01-01T00:06:40.000000Z','2026-01-01T00:06:40.000000Z','teller',NULL,NULL,'{"allocation_id":"a4","command":"allocate","owner":"gil","quantities":{"cpu":10},"tags":{}}','{"pool":"cpu","allocation_id":"a4","owner":"gil","quantity":10,"pools":["cpu"],"epoch":1,"tags":{},"deadline":null}',X'6422AEA88FE3A7CF071AA71B44CDB959818250E1CC8AACB782E7FF29D89490ED');
INSERT INTO "events" VALUES(35,'pool:cpu',12,'Reserved',1,'~d48490899c3926fa2dc6343633b946bf1d1b8de479262ba87962837383503280',0,2,'r3','2026-01-01T00:06:40.000000Z','2026-01-01T00:06:40.000000Z','teller',NULL,NULL,'{"allocation_id":"r3","command":"reserve","owner":"gil","quantities":{"cpu":10,"gpu":1},"tags":{},"ttl":1000}','{"pool":"cpu","allocation_id":"r3","owner":"gil","quantity":10,"pools":["cpu","gpu"],"epoch":1,"tags":{},"deadline":"2026-01-01T00:23:20.000000Z"}',X'D05CC1CA5152BD5A0F208DBAF99B2331B39C0124552D417E7E346E8090677FAC');
INSERT INTO "events" VALUES(36,'pool:gpu',12,'Reserved',1,'~d48490899c3926fa2dc6343633b946bf1d1b8de479262ba87962837383503280',1,2,'r3','2026-01-01T00:06:40.000000Z','2026-01-01T00:06:40.000000Z','teller',NULL,NULL,NULL,'{"pool":"gpu","allocation_id":"r3","owner":"gil","quantity":1,"pools":["cpu","gpu"],"epoch":1,"tags":{},"deadline":"2026-01-01T00:23:20.000000Z"}',X'74AE50BA5434B13766311F1A07AB912143A6D5BE8B420C8CA76A27C7A8D1E311');
CREATE TABLE gen_allocation_history_1 (
	position BIGINT NOT NULL, 
	allocation_id TEXT, 
	pool TEXT, 
	event TEXT, 
	owner TEXT, 
	quantity BIGINT, 
	deadline TEXT, 
	reason TEXT, 
	code TEXT, 
	occurred_at TEXT, 
	recorded_at TEXT, 
	actor TEXT, 
	command_id TEXT, 
	correlation_id TEXT, 
	causation_id TEXT, 
	PRIMARY KEY (position)
);
INSERT INTO "gen_allocation_history_1" VALUES(4,'a1','cpu','Allocated','ann',20,'2026-01-01T00:01:50.000000Z',NULL,NULL,'2026-01-01T00:00:10.000000Z','2026-01-01T00:00:10.000000Z','teller','~51facedc0f6c7db08aacfb1f2860ef9e2bd47dea9117fb2a175485ff8825e421',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(5,'a1','gpu','Allocated','ann',2,'2026-01-01T00:01:50.000000Z',NULL,NULL,'2026-01-01T00:00:10.000000Z','2026-01-01T00:00:10.000000Z','teller','~51facedc0f6c7db08aacfb1f2860ef9e2bd47dea9117fb2a175485ff8825e421',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(6,'a2','gpu','Allocated','bob',2,NULL,NULL,NULL,'2026-01-01T00:00:10.000000Z','2026-01-01T00:00:10.000000Z','bob','c2',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(7,'r1','cpu','Reserved','cid',5,'2026-01-01T00:00:30.000000Z',NULL,NULL,'2026-01-01T00:00:10.000000Z','2026-01-01T00:00:10.000000Z','teller','~800eebd8fd89600dc2bc4d713ac639c3fb26680c6b58aa83531321a16153f477',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(8,'r1','seats','Reserved','cid',1,'2026-01-01T00:00:30.000000Z',NULL,NULL,'2026-01-01T00:00:10.000000Z','2026-01-01T00:00:10.000000Z','teller','~800eebd8fd89600dc2bc4d713ac639c3fb26680c6b58aa83531321a16153f477',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(9,'r2','gpu','Reserved','dee',1,'2026-01-01T00:00:30.000000Z',NULL,NULL,'2026-01-01T00:00:10.000000Z','2026-01-01T00:00:10.000000Z','teller','~3db851c67ad3d915ac0154fadbb19dfb38c374d7dea8bcada94cbcadc00bb016',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(10,'r1','cpu','Confirmed','cid',5,'2026-01-01T00:01:10.000000Z',NULL,NULL,'2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller','01a2324a-fc96-775a-8f05-eafb06ac0455','story',NULL);
INSERT INTO "gen_allocation_history_1" VALUES(11,'r1','seats','Confirmed','cid',1,'2026-01-01T00:01:10.000000Z',NULL,NULL,'2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller','01a2324a-fc96-775a-8f05-eafb06ac0455','story',NULL);
INSERT INTO "gen_allocation_history_1" VALUES(12,'r2','gpu','Voided','dee',1,NULL,'no need',NULL,'2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller','01a2324a-fc9c-77e5-89cc-a937f3648830',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(13,'a1','cpu','Renewed','ann',20,'2026-01-01T00:03:40.000000Z',NULL,NULL,'2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller','01a2324a-fca9-7019-b55b-04f38af854ea',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(14,'a1','gpu','Renewed','ann',2,'2026-01-01T00:03:40.000000Z',NULL,NULL,'2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller','01a2324a-fca9-7019-b55b-04f38af854ea',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(15,'a1','cpu','Resized','ann',40,NULL,NULL,NULL,'2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller','01a2324a-fcae-7435-b7ed-f85030b210c2',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(16,'a1','gpu','Resized','ann',1,NULL,NULL,NULL,'2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller','01a2324a-fcae-7435-b7ed-f85030b210c2',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(17,'a1','cpu','Transferred','bob',40,NULL,NULL,NULL,'2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller','01a2324a-fcb8-7176-9f41-6fa20f314927',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(18,'a1','gpu','Transferred','bob',1,NULL,NULL,NULL,'2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller','01a2324a-fcb8-7176-9f41-6fa20f314927',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(20,'a3','gpu','ValidationFailed',NULL,NULL,NULL,NULL,'pool_exhausted','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller','~30572ad0fc780162f97f682b3687fb7e6c2365393ba998cf2e2706c3ffd152c8',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(21,'nobody',NULL,'ValidationFailed',NULL,NULL,NULL,NULL,'allocation_not_found','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller','01a2324a-fcd6-7707-90c9-8633ab146ca6',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(22,'a1','cpu','Resized','bob',30,NULL,NULL,NULL,'2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller','01a2324a-fcde-7675-a127-73334748d59f',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(23,'a2','gpu','Released','bob',2,NULL,'done',NULL,'2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller','01a2324a-fcea-7307-b01f-59347faaa2c6',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(24,'s1','seats','Allocated','cid',1,'2026-01-01T00:01:20.000000Z',NULL,NULL,'2026-01-01T00:00:30.000000Z','2026-01-01T00:00:30.000000Z','teller','~e2fcd3c7dfa1c16a3c566c2f2d19f64e1666e6ed5dbbd1f73d2f83b71ebe6597',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(25,'r1','cpu','Expired','cid',5,'2026-01-01T00:01:10.000000Z',NULL,NULL,'2026-01-01T00:01:10.000000Z','2026-01-01T00:05:00.000000Z','teller','01a2324a-fcfe-76ba-8198-b9e24bcb67a9',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(26,'r1','seats','Expired','cid',1,'2026-01-01T00:01:10.000000Z',NULL,NULL,'2026-01-01T00:01:10.000000Z','2026-01-01T00:05:00.000000Z','teller','01a2324a-fcfe-76ba-8198-b9e24bcb67a9',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(27,'s1','seats','Expired','cid',1,'2026-01-01T00:01:20.000000Z',NULL,NULL,'2026-01-01T00:01:20.000000Z','2026-01-01T00:05:00.000000Z','teller','01a2324a-fcfe-76ba-8198-b9e24bcb67a9',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(28,'a1','cpu','Expired','bob',30,'2026-01-01T00:03:40.000000Z',NULL,NULL,'2026-01-01T00:03:40.000000Z','2026-01-01T00:05:00.000000Z','teller','01a2324a-fcfe-76ba-8198-b9e24bcb67a9',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(29,'a1','gpu','Expired','bob',1,'2026-01-01T00:03:40.000000Z',NULL,NULL,'2026-01-01T00:03:40.000000Z','2026-01-01T00:05:00.000000Z','teller','01a2324a-fcfe-76ba-8198-b9e24bcb67a9',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(30,'a1','cpu','ValidationFailed',NULL,NULL,NULL,NULL,'allocation_ended','2026-01-01T00:05:00.000000Z','2026-01-01T00:05:00.000000Z','teller','01a2324a-fcfe-76ba-8198-b9e24bcb67a9',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(31,'s2','seats','Allocated','fay',2,'2026-01-01T00:05:50.000000Z',NULL,NULL,'2026-01-01T00:05:00.000000Z','2026-01-01T00:05:00.000000Z','teller','~67b5ec8b6f9d8a4ffc71a30bd175ab07f65057334dc5a3adcb06fd3e6f436332',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(33,'s2','seats','Expired','fay',2,'2026-01-01T00:05:50.000000Z',NULL,NULL,'2026-01-01T00:05:50.000000Z','2026-01-01T00:06:40.000000Z','teller','01a2324a-fd1e-7740-bef0-3d93c99913d9',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(34,'a4','cpu','Allocated','gil',10,NULL,NULL,NULL,'2026-01-01T00:06:40.000000Z','2026-01-01T00:06:40.000000Z','teller','~cdb010dfeef64a92705bab2eb3b0f93186b981f231527f09008bbc035199ee9b',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(35,'r3','cpu','Reserved','gil',10,'2026-01-01T00:23:20.000000Z',NULL,NULL,'2026-01-01T00:06:40.000000Z','2026-01-01T00:06:40.000000Z','teller','~d48490899c3926fa2dc6343633b946bf1d1b8de479262ba87962837383503280',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(36,'r3','gpu','Reserved','gil',1,'2026-01-01T00:23:20.000000Z',NULL,NULL,'2026-01-01T00:06:40.000000Z','2026-01-01T00:06:40.000000Z','teller','~d48490899c3926fa2dc6343633b946bf1d1b8de479262ba87962837383503280',NULL,NULL);
CREATE TABLE gen_current_allocations_1 (
	allocation_id TEXT NOT NULL, 
	pool TEXT NOT NULL, 
	owner TEXT, 
	quantity BIGINT, 
	state TEXT, 
	deadline TEXT, 
	token TEXT, 
	tags TEXT, 
	opened_at TEXT, 
	opened_by TEXT, 
	position BIGINT, 
	PRIMARY KEY (allocation_id, pool)
);
INSERT INTO "gen_current_allocations_1" VALUES('a4','cpu','gil',10,'active',NULL,'1:34','{}','2026-01-01T00:06:40.000000Z','teller',34);
INSERT INTO "gen_current_allocations_1" VALUES('r3','cpu','gil',10,'reserved','2026-01-01T00:23:20.000000Z','1:35','{}','2026-01-01T00:06:40.000000Z','teller',35);
INSERT INTO "gen_current_allocations_1" VALUES('r3','gpu','gil',1,'reserved','2026-01-01T00:23:20.000000Z','1:35','{}','2026-01-01T00:06:40.000000Z','teller',36);
CREATE TABLE gen_metrics_1 (
	resource_type TEXT, 
	pool TEXT NOT NULL, 
	operation TEXT NOT NULL, 
	outcome TEXT NOT NULL, 
	code TEXT NOT NULL, 
	count BIGINT, 
	milliseconds BIGINT, 
	le_1s BIGINT, 
	le_10s BIGINT, 
	le_1m BIGINT, 
	le_10m BIGINT, 
	le_1h BIGINT, 
	le_6h BIGINT, 
	le_1d BIGINT, 
	le_7d BIGINT, 
	le_30d BIGINT, 
	PRIMARY KEY (pool, operation, outcome, code)
);
INSERT INTO "gen_metrics_1" VALUES('cpu','cpu','open_pool','done','',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('gpu','gpu','open_pool','done','',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('seat','seats','open_pool','done','',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('cpu','cpu','allocate','done','',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('gpu','gpu','allocate','done','',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('cpu','cpu','reserve','done','',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('seat','seats','reserve','done','',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('gpu','gpu','reserve','done','',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('cpu','cpu','confirm','done','',1,10000,0,1,1,1,1,1,1,1,1);
INSERT INTO "gen_metrics_1" VALUES('seat','seats','confirm','done','',1,10000,0,1,1,1,1,1,1,1,1);
INSERT INTO "gen_metrics_1" VALUES('gpu','gpu','void','done','',1,10000,0,1,1,1,1,1,1,1,1);
INSERT INTO "gen_metrics_1" VALUES('cpu','cpu','renew','done','',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('gpu','gpu','renew','done','',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('cpu','cpu','resize','done','',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('gpu','gpu','resize','done','',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('cpu','cpu','transfer','done','',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('gpu','gpu','transfer','done','',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('gpu','gpu','change_limits','done','',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('gpu','gpu','allocate','refused','pool_exhausted',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('','','release','refused','allocation_not_found',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('gpu','gpu','release','done','',1,10000,0,1,1,1,1,1,1,1,1);
INSERT INTO "gen_metrics_1" VALUES('seat','seats','allocate','done','',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('cpu','cpu','expire','done','',2,270000,0,0,1,2,2,2,2,2,2);
INSERT INTO "gen_metrics_1" VALUES('seat','seats','expire','done','',3,160000,0,0,3,3,3,3,3,3,3);
INSERT INTO "gen_metrics_1" VALUES('gpu','gpu','expire','done','',1,210000,0,0,0,1,1,1,1,1,1);
INSERT INTO "gen_metrics_1" VALUES('cpu','cpu','renew','refused','allocation_ended',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gen_metrics_1" VALUES('seat','seats','close_pool','done','',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE gen_metrics_holds_1 (
	allocation_id TEXT NOT NULL, 
	pool TEXT NOT NULL, 
	opened_at TEXT, 
	PRIMARY KEY (allocation_id, pool)
);
INSERT INTO "gen_metrics_holds_1" VALUES('a4','cpu','2026-01-01T00:06:40.000000Z');
INSERT INTO "gen_metrics_holds_1" VALUES('r3','cpu','2026-01-01T00:06:40.000000Z');
INSERT INTO "gen_metrics_holds_1" VALUES('r3','gpu','2026-01-01T00:06:40.000000Z');
CREATE TABLE gen_pool_usage_1 (
	pool TEXT NOT NULL, 
	bucket TEXT NOT NULL, 
	used BIGINT, 
	peak BIGINT, 
	capacity BIGINT, 
	allocations BIGINT, 
	grants BIGINT, 
	endings BIGINT, 
	position BIGINT, 
	PRIMARY KEY (pool, bucket)
);
INSERT INTO "gen_pool_usage_1" VALUES('cpu','2026-01-01T00:00:00.000000Z',20,45,100,2,4,2,35);
INSERT INTO "gen_pool_usage_1" VALUES('gpu','2026-01-01T00:00:00.000000Z',1,5,2,1,4,3,36);
INSERT INTO "gen_pool_usage_1" VALUES('seats','2026-01-01T00:00:00.000000Z',0,2,2,0,3,3,33);
CREATE TABLE gen_validation_failures_1 (
	position BIGINT NOT NULL, 
	occurred_at TEXT, 
	recorded_at TEXT, 
	operation TEXT, 
	code TEXT, 
	pool TEXT, 
	owner TEXT, 
	allocation_id TEXT, 
	actor TEXT, 
	asked TEXT, 
	data TEXT, 
	command_id TEXT, 
	correlation_id TEXT, 
	causation_id TEXT, 
	PRIMARY KEY (position)
);
INSERT INTO "gen_validation_failures_1" VALUES(20,'2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','allocate','pool_exhausted','gpu','eve','a3','teller','{"allocation_id":"a3","command":"allocate","owner":"eve","quantities":{"gpu":1},"tags":{}}','{"allocation_id":"a3","asked":1,"capacity":2,"free":0,"limit":2,"pool":"gpu","unit":"unit","used":3}','~30572ad0fc780162f97f682b3687fb7e6c2365393ba998cf2e2706c3ffd152c8',NULL,NULL);
INSERT INTO "gen_validation_failures_1" VALUES(21,'2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','release','allocation_not_found',NULL,NULL,'nobody','teller','{"allocation_id":"nobody","command":"release"}','{"allocation_id":"nobody"}','01a2324a-fcd6-7707-90c9-8633ab146ca6',NULL,NULL);
INSERT INTO "gen_validation_failures_1" VALUES(30,'2026-01-01T00:05:00.000000Z','2026-01-01T00:05:00.000000Z','renew','allocation_ended','cpu',NULL,'a1','teller','{"allocation_id":"a1","command":"renew","ttl":10}','{"allocation_id":"a1","capacity":100,"free":100,"pool":"cpu","state":"expired","unit":"unit","used":0}','01a2324a-fcfe-76ba-8198-b9e24bcb67a9',NULL,NULL);
CREATE TABLE generations (
	"view" TEXT NOT NULL, 
	generation INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	fingerprint TEXT NOT NULL, 
	tables TEXT NOT NULL, 
	position BIGINT NOT NULL, 
	moved_at TEXT, 
	rate BIGINT, 
	compared_at BIGINT, 
	stopped_at BIGINT, 
	stopped_type TEXT, 
	error TEXT, 
	CONSTRAINT pk_generations PRIMARY KEY ("view", generation)
);
INSERT INTO "generations" VALUES('current_allocations',1,'live',1,'ef657b3bed38edae','gen_current_allocations_1',36,'2026-12-01T15:48:25.102971Z',334799,NULL,NULL,NULL,NULL);
INSERT INTO "generations" VALUES('allocation_history',1,'live',1,'299a7011b8851fa7','gen_allocation_history_1',36,'2026-12-01T15:48:25.076174Z',431334,NULL,NULL,NULL,NULL);
INSERT INTO "generations" VALUES('pool_usage',1,'live',1,'08d554ac7cc985af','gen_pool_usage_1',36,'2026-12-01T15:48:25.135332Z',43831,NULL,NULL,NULL,NULL);
INSERT INTO "generations" VALUES('metrics',1,'live',3,'264d57b2eabe5170','gen_metrics_1 gen_metrics_holds_1',36,'2026-12-01T15:48:25.109813Z',10861,NULL,NULL,NULL,NULL);
INSERT INTO "generations" VALUES('validation_failures',1,'live',1,'f8dc612d67d83d1b','gen_validation_failures_1',36,'2026-12-01T15:48:25.154661Z',532536,NULL,NULL,NULL,NULL);
CREATE TABLE holdbook_schema (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT holdbook_schema_pkc PRIMARY KEY (version_num)
);
INSERT INTO "holdbook_schema" VALUES('0004');
CREATE TABLE ledger_meta (
	one SMALLINT NOT NULL, 
	ledger_id TEXT NOT NULL, 
	epoch INTEGER NOT NULL, 
	format SMALLINT NOT NULL, 
	CONSTRAINT pk_ledger_meta PRIMARY KEY (one), 
	CONSTRAINT ck_ledger_meta_one CHECK (one = 1)
);
INSERT INTO "ledger_meta" VALUES(1,'01a2324a-fb95-7496-bd81-d70ca94ba833',1,1);
CREATE TABLE queue (
	pool TEXT NOT NULL, 
	ticket BIGINT NOT NULL, 
	command_id TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	quantity BIGINT NOT NULL, 
	since TEXT NOT NULL, 
	until TEXT NOT NULL, 
	waiter TEXT NOT NULL, 
	CONSTRAINT pk_queue PRIMARY KEY (pool, ticket), 
	CONSTRAINT uq_queue_command_id_pool UNIQUE (command_id, pool)
);
INSERT INTO "queue" VALUES('gpu',1,'waiting','ann',2,'2026-01-01T00:06:40.000000Z','2026-01-01T00:16:40.000000Z','01a2324a-fc1f-7417-82a0-fca66002b361');
CREATE TABLE seal_keys (
	"key" TEXT NOT NULL, 
	since BIGINT NOT NULL, 
	CONSTRAINT pk_seal_keys PRIMARY KEY ("key")
);
INSERT INTO "seal_keys" VALUES('o+eb039232+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c',1);
CREATE TABLE seal_tiles (
	level SMALLINT NOT NULL, 
	number BIGINT NOT NULL, 
	hashes BLOB NOT NULL, 
	chain BLOB, 
	CONSTRAINT pk_seal_tiles PRIMARY KEY (level, number)
);
INSERT INTO "seal_tiles" VALUES(0,0,X'AD81327B7E4F1D5E50CBB807889FB56B867911821E7936997E9C44C6E0696B6A7DCBBE8B66F0C01B576EBD58DC4F1840484875C71FF5CE5C51274D4903257142FD89E8B113DDAF72AE52E8A8931DFA00CA399A561D8758612ADCEDDC8207A0D6E3A41D7A27E5C01C8D195B6BDF7019D3E74651A4EE1BF9734BEE325DADDF889BF1DC0C1DF06B0408D3C9A927EB5C5B2ED481F7B18B4E0D397903BD94D03096C32023FCFBEC93A6BCFB3E24092B35F70E567A7AC8D4491699C1EC83EAFDD72F96F53100BF220380F794505B42859B564D13437A2E436AAD5347B076E4887866A15A7272A94A24113FB4AD3724F62F26FFC72C97430B39A9906940B580408BB8757F7021084B3B5D02C96775BF8833E9D81DF8B36C2E6B0E70C82FFCE285F409522567611B64952739229BDC717A2604D91BD8402968D282B2191C8A937A634D984FE75F98CA07D2AFAA6E10E70C7FECDA63E6D43DF7A59EB505C68487CF8771348C0CBA9BEC1DAAE18B3724A31374AFDEBE707475DDDB8D43E0D7D5D1CF14E75B29E2FC0FE3E0C933BB821A1814B5CDD49D7CA074A766B9CF773B60502589141DF62B72C209D3B9B85BC3C86D5CB0934B1D251A632E6DAF6DD5792BB6473BCEF680DC0AE3C3A87E125E5AC115981D2430425923582517D0971030D8BFF47AFBAC8518062A69D04919621E5F6DFA659D8B179E7333358DC1AD86DA2221396C040E7203A1731D51BCF5C6E0155C2DA37C8E7803184EDA6778D9BE67790E41D41DCCA12AADD0C6C21DAAFA612241CBE975E42FB13A513342FED57483A6412FA177771DE7C46E3EEA5AE51C31B51FC1E30BF6E6F6E68F45F0A331C59C75F2D7998107427C13065677AF6978DA47C9C673149818C84087B30E7D4D7D8F57496033F869ED6C9959C6CF2991D70ADBEBF001F9FF6C1996437699E7E825260FE6AA2B484EA4AFB2D468B287A64C00B890E74389EC0AA44D45BD7E2AF074B4E3FE0375FF1E3F3B6FADF0FFDAC24CA19724D4831C69578D746738EE4B9C3414186F529E7556D022B7076F4FA66A4F6902ECD7C4444ABD020E33ABFF332776BAABC03F0C0E9C372873D4ABAC7151228C7A26C98FF3637AB11A351B49CEAFDF0E8ADAA1304B63DF2B1CC648D87FA837883D341EA032D973AC137E9D4D04C048248597871C75A219E35845BD7CE1A04F652912DC9F72F8559B74843212A99722D728E83D3EAE896B097DE46A917CFAE7FF7DCE2DF076162B72852F659469F9942CFAE8882EC762531C925F910F22DB256C1B08B6C5CE7ADF2ACFF39FD7678901A41883A5E6AADA530CD8DB65316299A6F5390F7F9F34F5CFBA4FF7A0EBB4299E619D37B9D1655B7254BFB7B24192CB0A12B7A942C0B98BF2E995DBE4B48840C561443F77D0178300710DF0963AC35542317CD693FF5BCD0A3E889C4381EC804E57A029687815DF981FFAC5D4865E36007CFE27E15118EB0C56DFFF8861A12A665C19223F84E07602D86F92829767F08F4727A09600B8BC8DE56368760591051317D28B51E05420112DC120BB3BB576E421AEEC4C7DA99DD6F71C8D89538B51662DB56C1FE9827ACF39471F99EA37B894F5889786DA16DA3CEBE2B62B6FE782B7CC86C8E8121678',X'74AE50BA5434B13766311F1A07AB912143A6D5BE8B420C8CA76A27C7A8D1E311');
CREATE TABLE skipped_events (
	"view" TEXT NOT NULL, 
	generation INTEGER NOT NULL, 
	position BIGINT NOT NULL, 
	type TEXT NOT NULL, 
	error TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	actor TEXT NOT NULL, 
	skipped_at TEXT NOT NULL, 
	CONSTRAINT pk_skipped_events PRIMARY KEY ("view", generation, position)
);
CREATE TABLE snapshots (
	stream_id TEXT NOT NULL, 
	version BIGINT NOT NULL, 
	type TEXT NOT NULL, 
	data TEXT NOT NULL, 
	CONSTRAINT pk_snapshots PRIMARY KEY (stream_id, version)
);
INSERT INTO "snapshots" VALUES('holds:12:cpu',1,'PoolSnapshot','[["a4",10,"gil",null,false,[1,34],["cpu"],{},"2026-01-01T00:06:40.000000Z"],["r3",10,"gil","2026-01-01T00:23:20.000000Z",true,[1,35],["cpu","gpu"],{},"2026-01-01T00:06:40.000000Z"]]');
INSERT INTO "snapshots" VALUES('pool:cpu',12,'PoolSnapshot','{"pool":"cpu","resource_type":"cpu","unit":"unit","limits":{"total":100,"reserved":0,"overcommit":"1","min_size":null,"max_size":null,"step":5,"max_allocations":null,"per_owner":null,"default_ttl":null,"max_ttl":null},"opened_with":{"total":100,"reserved":0,"overcommit":"1","min_size":null,"max_size":null,"step":5,"max_allocations":null,"per_owner":null,"default_ttl":null,"max_ttl":null},"closed":false,"version":12,"time":"2026-01-01T00:06:40.000000Z","holds":2}');
CREATE TABLE tracking (
	name TEXT NOT NULL, 
	position BIGINT NOT NULL, 
	CONSTRAINT pk_tracking PRIMARY KEY (name)
);
INSERT INTO "tracking" VALUES('billing',21);
CREATE TABLE waiters (
	waiter TEXT NOT NULL, 
	alive_until DOUBLE NOT NULL, 
	CONSTRAINT pk_waiters PRIMARY KEY (waiter)
);
INSERT INTO "waiters" VALUES('01a2324a-fc1f-7417-82a0-fca66002b361',1.79614011504700684545e+09);
CREATE INDEX ix_events_allocation_id_position ON events (allocation_id, position) WHERE allocation_id IS NOT NULL;
CREATE UNIQUE INDEX uq_events_opening ON events (allocation_id) WHERE type IN ('Allocated', 'Reserved') AND command IS NOT NULL;
CREATE INDEX ix_events_pool_opened ON events (stream_id) WHERE type = 'PoolOpened';
CREATE TRIGGER events_no_update BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'events are immutable: UPDATE is refused'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'events are immutable: DELETE is refused'); END;
CREATE TRIGGER events_no_replace BEFORE INSERT ON events
    WHEN EXISTS (SELECT 1 FROM events WHERE stream_id = NEW.stream_id AND version = NEW.version)
    OR EXISTS (SELECT 1 FROM events WHERE command_id = NEW.command_id AND ordinal = NEW.ordinal)
    OR NEW.command IS NOT NULL AND NEW.type IN ('Allocated', 'Reserved') AND EXISTS (
        SELECT 1 FROM events WHERE allocation_id = NEW.allocation_id
        AND type IN ('Allocated', 'Reserved') AND command IS NOT NULL)
    BEGIN SELECT RAISE(ABORT, 'the place of an event, its command id or its allocation id is taken'); END;
CREATE TRIGGER events_at_the_end BEFORE INSERT ON events
    WHEN NEW.position <> (SELECT coalesce(max(position), 0) + 1 FROM events)
    BEGIN SELECT RAISE(ABORT, 'events are appended at the end of the log'); END;
CREATE UNIQUE INDEX uq_generations_live ON generations ("view") WHERE state = 'live';
CREATE INDEX ix_gen_current_allocations_1_owner ON gen_current_allocations_1 (owner);
CREATE INDEX ix_gen_current_allocations_1_pool ON gen_current_allocations_1 (pool);
CREATE VIEW current_allocations AS SELECT allocation_id, pool, owner, quantity, state, deadline, token, tags, opened_at, opened_by, position FROM gen_current_allocations_1;
CREATE INDEX ix_gen_allocation_history_1_owner_position ON gen_allocation_history_1 (owner, position);
CREATE INDEX ix_gen_allocation_history_1_allocation_id_position ON gen_allocation_history_1 (allocation_id, position);
CREATE VIEW allocation_history AS SELECT position, allocation_id, pool, event, owner, quantity, deadline, reason, code, occurred_at, recorded_at, actor, command_id, correlation_id, causation_id FROM gen_allocation_history_1;
CREATE INDEX ix_gen_pool_usage_1_bucket ON gen_pool_usage_1 (bucket);
CREATE VIEW pool_usage AS SELECT pool, bucket, used, peak, capacity, allocations, grants, endings, position FROM gen_pool_usage_1;
CREATE VIEW metrics AS SELECT resource_type, pool, operation, outcome, code, count, milliseconds, le_1s, le_10s, le_1m, le_10m, le_1h, le_6h, le_1d, le_7d, le_30d FROM gen_metrics_1;
CREATE INDEX ix_gen_validation_failures_1_owner_position ON gen_validation_failures_1 (owner, position);
CREATE INDEX ix_gen_validation_failures_1_occurred_at ON gen_validation_failures_1 (occurred_at);
CREATE INDEX ix_gen_validation_failures_1_pool_position ON gen_validation_failures_1 (pool, position);
CREATE VIEW validation_failures AS SELECT position, occurred_at, recorded_at, operation, code, pool, owner, allocation_id, actor, asked, data, command_id, correlation_id, causation_id FROM gen_validation_failures_1;
COMMIT;
