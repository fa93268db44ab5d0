// Time, sign, list, switch, refresh, poll with OVHcloud's newer Node client. Tells what it saw as JSON. It takes no CA:
// NODE_EXTRA_CA_CERTS gives it one.
import ovh from '@ovhcloud/node-ovh';

const {
  SANDBOX_PORT,
  SANDBOX_APPLICATION_KEY,
  SANDBOX_APPLICATION_SECRET,
  SANDBOX_CONSUMER_KEY,
  FEW_RIGHTS,
} = process.env;
const clientWith = (consumerKey) =>
  ovh({
    appKey: SANDBOX_APPLICATION_KEY,
    appSecret: SANDBOX_APPLICATION_SECRET,
    consumerKey,
    host: '127.0.0.1',
    port: Number(SANDBOX_PORT),
    basePath: '/1.0',
  });
const client = clientWith(SANDBOX_CONSUMER_KEY);
const call = (method, path, params) => client.requestPromised(method, path, params);
const errorOf = (promise) =>
  promise.then(
    () => null,
    ({ error, message }) => [error, message],
  );

const seen = { time: typeof (await call('GET', '/auth/time')), me: (await call('GET', '/me')).nichandle };
const [name] = await call('GET', '/ipLoadbalancing');
const root = `/ipLoadbalancing/${name}`;
const farm = (displayName) => call('POST', `${root}/http/farm`, { zone: 'all', port: 8080, displayName });
const [blue, green] = [await farm('bleu é'), await farm('vert')];
seen.name = (await call('GET', `${root}/http/farm/${blue.farmId}`)).displayName;
const { frontendId } = await call('POST', `${root}/http/frontend`, {
  port: '80',
  zone: 'all',
  defaultFarmId: blue.farmId,
});
seen.put = await call('PUT', `${root}/http/frontend/${frontendId}`, { defaultFarmId: green.farmId });
const { id } = await call('POST', `${root}/refresh`);
do {
  seen.task = (await call('GET', `${root}/task/${id}`)).status;
} while (seen.task === 'todo' || seen.task === 'doing');
seen.switched = (await call('GET', `${root}/http/frontend/${frontendId}`)).defaultFarmId === green.farmId;
seen.left = await call('GET', `${root}/pendingChanges`);
seen.delete = await call('DELETE', `${root}/http/farm/${blue.farmId}`);
seen.refusals = [
  await errorOf(call('GET', `${root}/http/farm/${blue.farmId}`)),
  await errorOf(clientWith(FEW_RIGHTS).requestPromised('GET', '/me')),
  // It leaves these unsigned, and so must be refused.
  (await errorOf(call('GET', '/auth/currentCredential')))[0],
];
console.log(JSON.stringify(seen));
