import { forcedBy } from "./address.js";
import { setUpBackend } from "./backend.js";
import { setUpClassify } from "./classify.js";
import { CurrentNetwork } from "./current.js";
import { setUpInside } from "./inside.js";
import { setUpNetwork } from "./network.js";
import { setUpSelfTest } from "./selftest.js";
import { setUpTeaching } from "./teach.js";
import { setUpTraining } from "./train.js";

const forced = forcedBy(location.search);
const current = new CurrentNetwork();
const revive = setUpNetwork(current, forced); // first: it begins to load
setUpClassify(current, revive);
setUpInside(current);
setUpSelfTest(current);
setUpBackend(current, forced);
setUpTraining(current, forced, revive);
setUpTeaching(current);
