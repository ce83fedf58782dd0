export default {
  input: '../openapi.yaml',
  output: { path: 'build/hey', module: { extension: '.js' } },
  plugins: ['@hey-api/client-fetch', '@hey-api/typescript', '@hey-api/sdk'],
}
