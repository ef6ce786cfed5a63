<!doctype html>
<title>New</title>
<form method="post" action="/new"><input name="task"><button>save</button></form>
