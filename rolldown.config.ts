/**
 * Bundles what is published: few files start in half the time of 130. Plugins stay files of their own, loaded when a
 * configuration names them; so does the API that users' plugins import, sharing its code with the program.
 */
import { defineConfig } from 'rolldown'

export default defineConfig({
  input: { main: 'src/main.ts', thread: 'src/thread.ts', api: 'src/api.ts' },
  platform: 'node',
  // Loaded with the first YAML file, by require: see src/config/yaml_tree.ts.
  external: ['yaml'],
  output: { dir: 'dist', format: 'esm', chunkFileNames: '[name]-[hash].js' }
})
