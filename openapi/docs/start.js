// Shows /openapi.json with Redoc, light or dark as the reader has it.
'use strict'
{
  const mono = 'ui-monospace, SFMono-Regular, Menlo, Consolas, monospace'
  const fonts = { fontFamily: 'system-ui, sans-serif', headings: { fontFamily: 'system-ui, sans-serif' }, code: { fontFamily: mono, wrap: true } }
  const light = {
    colors: { primary: { main: '#1756c4' } },
    sidebar: { backgroundColor: '#f5f6f8', textColor: '#1c2330' },
    typography: { ...fonts, links: { color: '#1756c4' } },
    rightPanel: { backgroundColor: '#1b2029' },
  }
  const dark = {
    colors: {
      primary: { main: '#7fb0ff', contrastText: '#12151b' },
      text: { primary: '#e4e8ef', secondary: '#b3bccb' },
      border: { dark: '#3a4250', light: '#2c323d' },
      success: { main: '#4fd1a0' },
      error: { main: '#ff8f85' },
      gray: { 50: '#1a1f28', 100: '#232934' },
      responses: {
        success: { color: '#4fd1a0', backgroundColor: '#16281f' },
        error: { color: '#ff9f96', backgroundColor: '#2b1b1c' },
      },
    },
    schema: { nestedBackground: '#1a1f28', linesColor: '#3a4250', typeNameColor: '#b3bccb', typeTitleColor: '#b3bccb', requireLabelColor: '#ff9f96' },
    sidebar: { backgroundColor: '#181c24', textColor: '#e4e8ef' },
    typography: { ...fonts, links: { color: '#7fb0ff', visited: '#7fb0ff', hover: '#a8c9ff' }, code: { ...fonts.code, color: '#ffb0a8', backgroundColor: '#232934' } },
    rightPanel: { backgroundColor: '#0d1015' },
  }
  const theme = matchMedia('(prefers-color-scheme: dark)')
  const show = () => {
    const old = document.getElementById('docs')
    const place = document.createElement('main')
    place.id = 'docs'
    old.replaceWith(place)
    Redoc.init(
      '/openapi.json',
      {
        theme: theme.matches ? dark : light,
        hideDownloadButtons: true,
        hideHostname: true,
        jsonSamplesExpandLevel: 4,
        requiredPropsFirst: true,
        sortTagsAlphabetically: true,
        nativeScrollbars: true,
      },
      place,
    )
  }
  theme.addEventListener('change', () => location.reload())
  show()
}
