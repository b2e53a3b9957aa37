const express = require('express');

const app = express();
app.get('/', (request, response) => response.send(`hello from ${process.pid}\n`));
app.listen(3000);
