'use strict';
// A LoopBack 3 application whose containers are the directories of ROOT, as its documentation builds one:
//
//   node app.js ROOT PORT [TOKEN]
//
// With TOKEN only who brings it may do anything. It serves /api on 127.0.0.1 and prints a line when it does.
const fs = require('fs');
const os = require('os');
// What it comes with asks for a name that newer versions of Node have no more.
os.tmpDir = os.tmpDir || os.tmpdir;
const loopback = require('loopback');

const [root, port, token] = process.argv.slice(2);
fs.mkdirSync(root, {recursive: true});

const app = loopback();
app.set('restApiRoot', '/api');
app.set('remoting', {errorHandler: {debug: false, log: false}, context: false});

const files = app.dataSource('files', {
  connector: require('loopback-component-storage'),
  provider: 'filesystem',
  root: root,
  maxFileSize: 10 * 1024 * 1024 * 1024,
});
const acls = [
  {principalType: 'ROLE', principalId: '$everyone', permission: 'DENY'},
  {principalType: 'ROLE', principalId: '$authenticated', permission: 'ALLOW'},
];
const container = files.createModel('container', {}, token ? {acls: acls} : {});

async function start() {
  if (token) {
    const memory = app.dataSource('memory', {connector: 'memory'});
    ['User', 'AccessToken', 'ACL', 'Role', 'RoleMapping'].forEach(
      name => app.model(loopback[name], {dataSource: memory}));
    app.enableAuth();
    app.use(loopback.token({model: loopback.AccessToken}));
    const user = await loopback.User.create({email: 'somebody@example.com', password: 'none-that-is-used'});
    await loopback.AccessToken.create({id: token, userId: user.id, ttl: 1209600});
  }
  app.model(container);
  app.use('/api', loopback.rest());
  app.listen(Number(port), '127.0.0.1', () => console.log('serving'));
}
start();
