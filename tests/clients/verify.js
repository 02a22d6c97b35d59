// Parses and verifies a request's HTTP Signature with npm's http-signature 0.9.11, the parser of CloudAPI 6.5's time.
//
//   node verify.js PUBLIC_KEY_PEM AUTHORIZATION DATE      prints the keyId, or fails
'use strict';
const fs = require('fs');
const signature = require('http-signature');
const [pem, authorization, date] = process.argv.slice(2);
const request = { method: 'GET', url: '/', httpVersion: '1.1', headers: { authorization, date } };
const parsed = signature.parseRequest(request, { clockSkew: 300 });
if (!signature.verifySignature(parsed, fs.readFileSync(pem, 'utf8'))) {
  throw new Error('the signature is wrong');
}
console.log(parsed.keyId + ' ' + parsed.algorithm);
