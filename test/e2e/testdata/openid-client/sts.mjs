import { text } from 'node:stream/consumers'

globalThis.crypto ??= (await import('node:crypto')).webcrypto // Node.js 18 keeps it there
const oauth = await import('openid-client')

const { STS, CLIENT, SECRET, AUDIENCE } = process.env
const config = await oauth.discovery(new URL(STS), CLIENT, undefined, oauth.ClientSecretBasic(SECRET), {
  algorithm: 'oauth2', // RFC 8414
  execute: STS.startsWith('http://127.0.0.1:') ? [oauth.allowInsecureRequests] : [],
})

const token = (await text(process.stdin)).trim()
const does = {
  exchange: () =>
    oauth.genericGrantRequest(config, 'urn:ietf:params:oauth:grant-type:token-exchange', {
      subject_token: token,
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      audience: AUDIENCE,
    }),
  introspect: () => oauth.tokenIntrospection(config, token),
  revoke: () => oauth.tokenRevocation(config, token),
}
try {
  console.log(JSON.stringify((await does[process.argv[2]]()) ?? {}))
} catch (e) {
  if (!(e instanceof oauth.ResponseBodyError)) throw e
  console.log(JSON.stringify(e.cause)) // error, error_description, reason, decision_id
  process.exitCode = 1
}
