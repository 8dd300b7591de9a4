// A real OpenID provider for tests: `node provider.mjs PORT ALGORITHM KID`. Another start on the same port with another
// KID is a rotation of its keys. It says `ready` when it listens.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

// Beside the folder that the packages were installed to, wherever that is.
const require = createRequire(`${process.env.CLOUDCUP_OIDC}/node_modules/`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { Provider } = await load('oidc-provider');
const { generateKeyPair, exportJWK } = await load('jose');

const [port, alg, kid] = process.argv.slice(2);
const { privateKey } = await generateKeyPair(alg, { extractable: true });
const key = { ...(await exportJWK(privateKey)), kid, alg, use: 'sig' };
const resource = {
  scope: 'games:read games:write',
  audience: 'urn:games',
  accessTokenFormat: 'jwt',
  accessTokenTTL: 600,
  jwt: { sign: { alg } },
};
const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys: [key] },
  scopes: ['games:read', 'games:write'],
  clients: [
    {
      client_id: 'tests',
      client_secret: 'known-to-everybody',
      token_endpoint_auth_method: 'client_secret_post',
      id_token_signed_response_alg: alg,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    },
  ],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:games',
      useGrantedResource: () => true,
      getResourceServerInfo: () => resource,
    },
  },
});
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
