<!doctype html>
<title>To do</title>
<h1>To do</h1>
<ul>
%for number, task in rows:
  <li>{{task}} <form method="post" action="/done/{{number}}"><button>done</button></form></li>
%end
</ul>
<a href="/new">new</a>
